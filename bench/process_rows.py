"""Whole processes as a user starts them: `cvat-flows annotate` against `cvat-cli`.

Each row is the wall time from the start of the process to its exit, with an empty storage, after a
run that does not count. The children have no Prefect server unless the row says so.
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

from bench.processes import (
    account,
    cvat_cli,
    cvat_flows,
    environment,
    flows_command,
    run_process,
)
from bench.rows import WEIGHTS, Effort, Result, fresh
from bench.runs import alternate, median
from bench.stage import Stage
from bench.table import Row
from cvat_flows.deployments.local_server import local_prefect

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
    return [
        *rows,
        _nothing_to_do(stage),
        _help(),
        _first_frame(stage, effort),
        _jobs_beside_uploads(stage),
        _interrupted(stage),
        _with_a_server(stage),
    ]


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
    runs = (
        fresh(stage, task_id, cvat_cli(stage, task_id, theirs)),
        fresh(stage, task_id, cvat_flows(stage, task_id, ours)),
    )
    for run in runs:  # The first one compiles sources, and exports the network.
        run()
    cli, flows = alternate(effort.rounds, *runs)
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
    run = cvat_flows(stage, task_id, CONSTANT)
    fresh(stage, task_id, run)()
    seconds = median([run() for _ in range(5)])
    return _seconds("whole process, nothing to do", seconds, 1.0)


def _help() -> Row:
    command = [sys.executable, "-m", "cvat_flows.flows.cli", "--help"]
    seconds = median([run_process(command, environment({})) for _ in range(5)])
    return _seconds("--help", seconds, 0.5)


def _first_frame(stage: Stage, effort: Effort) -> Row:
    """Compare the times from the start to the first call of the function."""
    task_id = stage.task(200)
    called = stage.folder / "called"
    function = stage.folder / "first.py"
    function.write_text(
        "import os, time\nfrom bench.constant_box import spec\n\n"
        f"def detect(context, image):\n    if not os.path.exists({str(called)!r}):\n"
        f"        open({str(called)!r}, 'w').write(str(time.time()))\n    return []\n"
    )

    def timed(run: Callable[[], float]) -> Callable[[], float]:
        def first_call() -> float:
            called.unlink(missing_ok=True)
            begin = time.time()
            run()
            return float(called.read_text()) - begin

        return first_call

    chosen = ("--function-file", str(function))
    cli, flows = alternate(
        effort.rounds,
        fresh(stage, task_id, timed(cvat_cli(stage, task_id, chosen))),
        fresh(stage, task_id, timed(cvat_flows(stage, task_id, chosen))),
    )
    return Row(
        what="time to the first frame, 200 frames",
        measured=f"{median(flows):.2f} s, cvat-cli {median(cli):.2f} s",
        ratio=median(cli) / median(flows),
        target="none",
        met=True,
    )


def _jobs_beside_uploads(stage: Stage) -> Row:
    """Compare uploading beside the detection with uploading after it, both equally long."""
    task_id = stage.task(100, (320, 240), segment_size=10)
    function = stage.folder / "sleeping.py"
    function.write_text(
        "import time\nfrom bench import constant_box\nfrom bench.constant_box import spec\n\n"
        "def detect(context, image):\n    time.sleep(0.1)\n"
        "    return constant_box.detect(context, image)\n"
    )
    slow = {"action": "none", "method": "PATCH", "path": "/annotations$", "delay": 1.0}
    chosen = ("--function-file", str(function))
    stage.sandbox.set_faults([{**slow, "times": None}])
    try:
        beside = fresh(stage, task_id, cvat_flows(stage, task_id, chosen))()
        after = fresh(stage, task_id, cvat_flows(stage, task_id, (*chosen, "--upload", "at_end")))()
    finally:
        stage.sandbox.set_faults([])
    return Row(
        what="ten jobs, 10 s of detection and 10 s of uploads",
        measured=f"{beside:.2f} s, one after the other {after:.2f} s",
        ratio=beside / after,
        target="at most 0.65",
        met=beside / after <= 0.65,
    )


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
    command = flows_command(stage, task_id, ("--function-file", str(slow)))
    process = subprocess.Popen(
        command,
        env=environment(account(stage)),
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
            cvat_flows(stage, task_id, CONSTANT, {"PREFECT_API_URL": f"{url}/api"}),
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
