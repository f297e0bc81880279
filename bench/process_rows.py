"""Whole processes as a user starts them: `cvat-flows annotate` against `cvat-cli`.

Each row is the wall time from the start of the process to its exit, with an empty storage. The
children have no Prefect server unless the row says so.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.rows import WEIGHTS, Effort, Result, fresh
from bench.runs import alternate, median
from bench.stage import Stage
from bench.table import Row
from cvat_flows.deployments.demo.local_prefect import local_prefect

HERE = Path(__file__).parent
CONSTANT = ("--function-file", str(HERE / "constant_box.py"))
SDK_YOLO = ("--function-file", str(HERE / "sdk_yolo.py"), "-p", f"model=str:{WEIGHTS}")
OUR_YOLO = (
    *("--function-module", "aa_functions.yolo"),
    *("-p", f"model=str:{WEIGHTS}", "-p", "imgsz=int:640", "-p", "device=str:cpu"),
)


def whole_process(stage: Stage, effort: Effort) -> list[Result]:
    """Compare whole processes: ten frames, many frames, and YOLOv8n."""
    rows = [
        _against_cli(stage, effort, "constant box", 10, CONSTANT, CONSTANT, 1 / 3),
        _against_cli(stage, effort, "constant box", 200, CONSTANT, CONSTANT, 1.0),
        _against_cli(stage, effort, "YOLOv8n at 640 f32", 200, SDK_YOLO, OUR_YOLO, 2.0),
    ]
    if effort.rounds > 2:
        rows.append(
            _against_cli(stage, effort, "YOLOv8n at 640 f32", 2000, SDK_YOLO, OUR_YOLO, 2.5)
        )
    return [*rows, _nothing_to_do(stage), _help(), _interrupted(stage), _with_a_server(stage)]


def _against_cli(
    stage: Stage,
    effort: Effort,
    what: str,
    count: int,
    theirs: Sequence[str],
    ours: Sequence[str],
    target: float,
) -> Row:
    task_id = stage.task(count)
    cli, flows = alternate(
        effort.rounds,
        fresh(stage, task_id, _cvat_cli(stage, task_id, theirs)),
        fresh(stage, task_id, _cvat_flows(stage, task_id, ours)),
    )
    ratio = median(cli) / median(flows)
    return Row(
        what=f"whole process, {what}, {count} frames",
        measured=f"{median(flows):.2f} s, cvat-cli {median(cli):.2f} s",
        ratio=ratio,
        target=f"at least {target:.2f} as fast",
        met=ratio >= target,
    )


def _nothing_to_do(stage: Stage) -> Row:
    task_id = stage.task(200)
    run = _cvat_flows(stage, task_id, CONSTANT)
    fresh(stage, task_id, run)()
    seconds = median([run() for _ in range(5)])
    return _seconds("whole process, nothing to do", seconds, 1.0)


def _help() -> Row:
    command = [sys.executable, "-m", "cvat_flows.flows.cli", "--help"]
    seconds = median([_run(command, _environment({})) for _ in range(5)])
    return _seconds("--help", seconds, 0.5)


def _interrupted(stage: Stage) -> Row:
    """Measure from Ctrl-C to the exit, with a function that takes 3 s an image."""
    task_id = stage.task(200)
    stage.clear(task_id)
    stage.fresh_storage()
    calls = stage.folder / "calls"
    calls.write_text("")
    slow = stage.folder / "slow.py"
    slow.write_text(
        "import time\nfrom bench.constant_box import spec\n\n"
        f"def detect(context, image):\n    open({str(calls)!r}, 'a').write('.')\n"
        "    time.sleep(3)\n    return []\n"
    )
    command = _command(stage, task_id, ("--function-file", str(slow)))
    process = subprocess.Popen(
        command,
        env=_environment(_account(stage)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while len(calls.read_text()) < 3:
        time.sleep(0.05)
    begin = time.perf_counter()
    process.send_signal(signal.SIGINT)
    process.wait()
    return _seconds("Ctrl-C, a function of 3 s an image", time.perf_counter() - begin, 2.0)


def _with_a_server(stage: Stage) -> Row:
    """Measure the processor time of the client and its children, not of the server."""
    task_id = stage.task(10)
    with local_prefect(stage.folder) as url:
        del os.environ["PREFECT_API_URL"]
        run = fresh(
            stage,
            task_id,
            _cvat_flows(stage, task_id, CONSTANT, {"PREFECT_API_URL": f"{url}/api"}),
        )
        run()
        before = _processor_time()
        for _ in range(3):
            run()
        seconds = (_processor_time() - before) / 3
    return _seconds("processor time with a Prefect server, 10 frames", seconds, 3.0)


def _seconds(what: str, seconds: float, target: float) -> Row:
    return Row(
        what=what,
        measured=f"{seconds:.2f} s",
        ratio=seconds / target,
        target=f"at most {target:g} s",
        met=seconds <= target,
    )


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cvat_cli(stage: Stage, task_id: int, function: Sequence[str]) -> Callable[[], float]:
    program = Path(sys.executable).with_name("cvat-cli")
    user, password = stage.sandbox.admin
    command = [
        *(str(program), "--server-host", stage.sandbox.url, "--auth", f"{user}:{password}"),
        *("task", "auto-annotate", str(task_id), *function, "--allow-unmatched-labels"),
    ]
    # A cache of its own for each run, as for ours: the SDK keeps chunks between runs.
    return lambda: _run(
        command, _environment({"XDG_CACHE_HOME": str(stage.fresh_storage() / "cache")})
    )


def _cvat_flows(
    stage: Stage, task_id: int, function: Sequence[str], variables: dict[str, str] | None = None
) -> Callable[[], float]:
    command = _command(stage, task_id, function)
    return lambda: _run(command, _environment(_account(stage) | (variables or {})))


def _command(stage: Stage, task_id: int, function: Sequence[str]) -> list[str]:
    start = [sys.executable, "-m", "cvat_flows.flows.cli", "annotate", str(task_id)]
    return [*start, *function, "--allow-unmatched-labels"]


def _account(stage: Stage) -> dict[str, str]:
    user, password = stage.sandbox.admin
    return {"CVAT_HOST": stage.sandbox.url, "CVAT_USER": user, "CVAT_PASSWORD": password}


def _environment(variables: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k == "PREFECT_HOME" or "PREFECT" not in k}
    return {**kept, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **variables}


def _run(command: Sequence[str], environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stderr[-500:]}")
    return seconds
