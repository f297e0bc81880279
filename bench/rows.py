"""One function for each row, except those of YOLO's speed, which are in `bench.yolo_rows`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen

from aa_functions.weights import SHIPPED_FOLDER
from bench.runs import (
    CONSTANT,
    WAITING,
    Function,
    alternate,
    flow_run,
    median,
    recorded_run,
    sdk_run,
)
from bench.stage import Stage
from bench.table import NotMeasured, Row
from bench.waiting_box import SECONDS_PER_IMAGE
from cvat_flows.deployments.local_server import local_prefect

SMALL = (640, 360)
WEIGHTS = str(SHIPPED_FOLDER / "shapes-yolov8n.pt")


@frozen(kw_only=True)
class Effort:
    """Numbers of rounds and frames."""

    rounds: int = 5
    constant_frames: int = 600
    yolo_frames: int = 600
    kind_frames: int = 200
    gpu_frames: int = 2400
    again_frames: int = 720
    few: int = 500
    many: int = 5000
    large_pictures: int = 4
    pictures: int = 200
    """Number of pictures for the mean average precision."""


QUICK = Effort(
    rounds=2,
    constant_frames=144,
    yolo_frames=36,
    kind_frames=12,
    gpu_frames=144,
    again_frames=72,
    few=100,
    many=500,
    large_pictures=1,
    pictures=20,
)

Result = Row | NotMeasured


def yolo(**parameters: Any) -> Function:
    """Return the shipped YOLOv8n with an input size of 640."""
    return Function(
        module="aa_functions.yolo", parameters={"model": WEIGHTS, "imgsz": 640, **parameters}
    )


def warm_up(stage: Stage) -> None:
    """Make both drivers import their modules."""
    task_id, function = stage.task(4, SMALL), CONSTANT.load()
    flow_run(stage, task_id, function)
    sdk_run(stage, task_id, function.function)


def fresh(stage: Stage, task_id: int, run: Callable[[], float]) -> Callable[[], float]:
    """Return a run that first deletes the annotations and empties the caches."""

    def cleared() -> float:
        stage.clear(task_id)
        stage.fresh_storage()
        return run()

    return cleared


def both_drivers(
    stage: Stage, effort: Effort, task_id: int, *, theirs: Any, ours: Any, **options: Any
) -> list[list[float]]:
    """Alternate runs of the SDK and of the flow, each on a task without annotations.

    The first run of each does not count, because memory and system caches are cold. `options` are
    those of the flow.

    Returns:
        The seconds of the SDK's runs and of the flow's.
    """
    sdk = fresh(stage, task_id, lambda: sdk_run(stage, task_id, theirs.function))
    flow = fresh(stage, task_id, lambda: flow_run(stage, task_id, ours, **options))
    sdk()
    flow()
    return alternate(effort.rounds, sdk, flow)


def constant_box(stage: Stage, effort: Effort) -> Result:
    """Measure a function that returns one constant box."""
    count = effort.constant_frames
    task_id, function = stage.task(count), CONSTANT.load()
    sdk, ours = both_drivers(stage, effort, task_id, theirs=function, ours=function)
    return against_sdk("constant box", count, sdk, ours, 1.3)


def device(stage: Stage, effort: Effort) -> Result:
    """Measure a function that takes time but no processor, like one on a GPU."""
    count = effort.gpu_frames
    task_id, function = stage.task(count, SMALL), WAITING.load()
    run = fresh(stage, task_id, lambda: flow_run(stage, task_id, function))
    run()
    (seconds,) = alternate(effort.rounds, run)
    alone = count * SECONDS_PER_IMAGE
    return Row(
        what="share of the speed of a function that needs no processor",
        measured=f"{count / median(seconds):.0f} of {1 / SECONDS_PER_IMAGE:.0f} frames/s",
        ratio=alone / median(seconds),
        target="-",
        met=True,
        note=f"{count} frames, {SMALL[0]}x{SMALL[1]}",
    )


def second_run(stage: Stage, effort: Effort) -> Result:
    """Measure a second run when nothing has changed."""
    task_id, function = stage.task(effort.again_frames), yolo(device="cpu").load()
    first = fresh(stage, task_id, lambda: flow_run(stage, task_id, function))
    flow_run(stage, stage.task(4, SMALL), function)
    once, again = alternate(effort.rounds, first, lambda: flow_run(stage, task_id, function))
    return Row(
        what="second run, nothing changed",
        measured=f"{median(again):.2f} s after {median(once):.2f} s",
        ratio=median(again) / median(once),
        target="at most 0.10",
        met=median(again) <= 0.1 * median(once),
        note=f"{effort.again_frames} frames, YOLOv8n",
    )


def cached_run(stage: Stage, effort: Effort) -> Result:
    """Measure a run on a cleared task whose detections are cached."""
    task_id, function = stage.task(effort.again_frames), yolo(device="cpu").load()

    first = fresh(stage, task_id, lambda: flow_run(stage, task_id, function))
    flow_run(stage, stage.task(4, SMALL), function)

    def again() -> float:
        stage.clear(task_id)
        return flow_run(stage, task_id, function, existing="clear")

    once, cached = alternate(max(1, effort.rounds // 2), first, again)
    return Row(
        what="cleared task, detections cached",
        measured=f"{median(cached):.2f} s after {median(once):.2f} s",
        ratio=median(cached) / median(once),
        target="-",
        met=True,
        note="everything is uploaded again",
    )


def killed_and_resumed(stage: Stage, effort: Effort) -> Result:
    """Measure a run that is killed at half and run again."""
    count = effort.again_frames
    task_id, function = stage.task(count), yolo(device="cpu")
    whole, both, sums = [], [], []
    for _ in range(effort.rounds):
        stage.clear(task_id)
        stage.fresh_storage()
        whole.append(_child(stage, task_id, function)["seconds"])
        stage.clear(task_id)
        stage.fresh_storage()
        before = _child(stage, task_id, function, kill_at=count // 2)["seconds"]
        after = _child(stage, task_id, function)["seconds"]
        both.append((before, after))
        sums.append(before + after)
    middle = sorted(range(len(sums)), key=sums.__getitem__)[len(sums) // 2]
    return Row(
        what="killed at half, then run again",
        measured=f"{both[middle][0]:.1f} s + {both[middle][1]:.1f} s for {median(whole):.1f} s",
        ratio=median(sums) / median(whole),
        target="at most 1.10",
        met=median(sums) <= 1.1 * median(whole),
        note=f"{count} frames, YOLOv8n, kill -9",
    )


def memory_and_length(stage: Stage, effort: Effort) -> list[Result]:
    """Measure peak memory and speed of a small and a large task."""
    measured: dict[int, list[dict[str, float]]] = {effort.few: [], effort.many: []}
    for _ in range(effort.rounds):
        for count, runs in measured.items():
            task_id = stage.task(count, SMALL)
            stage.clear(task_id)
            stage.fresh_storage()
            runs.append(_child(stage, task_id, CONSTANT))
    peak = {n: median([run["peak_mb"] for run in runs]) for n, runs in measured.items()}
    speed = {n: n / median([run["seconds"] for run in runs]) for n, runs in measured.items()}
    few, many = effort.few, effort.many
    return [
        Row(
            what=f"peak memory, {many:,} frames against {few:,}",
            measured=f"{peak[many]:.0f} MB, {peak[few]:.0f} MB",
            ratio=peak[many] / peak[few],
            target="at most 1.10",
            met=peak[many] <= 1.1 * peak[few],
            note=f"{SMALL[0]}x{SMALL[1]}, constant box",
        ),
        Row(
            what=f"frames a second, {many:,} against {few:,}",
            measured=f"{speed[many]:.0f}, {speed[few]:.0f}",
            ratio=speed[many] / speed[few],
            target="at least 0.95",
            met=speed[many] >= 0.95 * speed[few],
        ),
    ]


def share_of_prefect(stage: Stage, effort: Effort) -> Result:
    """Measure Prefect's share of the wall time, with YOLOv8n on the CPU."""
    count = effort.constant_frames
    task_id, function = stage.task(count), yolo(device="cpu").load()
    with local_prefect(stage.folder) as url:
        del os.environ["PREFECT_API_URL"]
        recorded_run(stage, task_id, function, url)
        plain, flow = alternate(
            effort.rounds,
            fresh(stage, task_id, lambda: flow_run(stage, task_id, function)),
            fresh(stage, task_id, lambda: recorded_run(stage, task_id, function, url)),
        )
    share = 1 - median(plain) / median(flow)
    return Row(
        what="Prefect's share of the wall time",
        measured=f"{median(flow):.2f} s, {median(plain):.2f} s without",
        ratio=share,
        target="at most 0.05",
        met=share <= 0.05,
        note=f"{count} frames, YOLOv8n on CPU",
    )


def against_sdk(
    what: str, count: int, sdk: list[float], ours: list[float], target: float, note: str = ""
) -> Row:
    """Return the row that compares two drivers' seconds for `count` frames."""
    ratio = median(sdk) / median(ours)
    return Row(
        what=f"{what}, {count} frames",
        measured=f"{count / median(ours):.1f} frames/s, SDK {count / median(sdk):.1f}",
        ratio=ratio,
        target=f"at least {target:g}",
        met=ratio >= target,
        note=note,
    )


def _child(
    stage: Stage, task_id: int, function: Function, *, kill_at: int | None = None
) -> dict[str, float]:
    """Run the flow in a separate process; kill it when `kill_at` frames are done."""
    command = [
        sys.executable, "-m", "bench.child", str(task_id), stage.sandbox.url,
        json.dumps({"module": function.module, "parameters": function.parameters}),
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        begin = time.perf_counter()
        for line in process.stdout:
            word, _, rest = line.partition(" ")
            if word.strip() == "begin":
                begin = time.perf_counter()
            elif word == "frames" and kill_at is not None and int(rest) >= kill_at:
                # Also kill its Prefect server, which would slow down the other measurements.
                os.killpg(process.pid, signal.SIGKILL)
                return {"seconds": time.perf_counter() - begin}
            elif word == "end":
                measured: dict[str, float] = json.loads(rest)
                return measured
    raise RuntimeError(f"the run ended with status {process.returncode} and no result")


def machine() -> str:
    """Describe the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        model = "unknown processor"
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, load {load:.1f} at the end"
