"""The rows of YOLOv8n's speed, on the CPU and on a GPU."""

from __future__ import annotations

import time
from typing import Any

from bench.boxes import boxes_of, compare, detect_with, mean_average_precision
from bench.rows import WEIGHTS, Effort, Result, against_sdk, both_drivers, fresh, yolo
from bench.runs import Function, alternate, flow_run, median, sdk_run
from bench.stage import Stage
from bench.table import NotMeasured, Row


def yolo_on_cpu(stage: Stage, effort: Effort) -> Result:
    """Compare YOLOv8n at 640 on the CPU with the same model in the SDK's driver."""
    return _yolo_against_sdk(stage, effort, "YOLOv8n at 640 on CPU", yolo(device="cpu"), 2.0)


def yolo_same_function(stage: Stage, effort: Effort) -> Result:
    """Compare both drivers with our function: the gain of the pipeline alone."""
    count = effort.yolo_frames
    task_id, function = stage.task(count), yolo(device="cpu").load()
    sdk, ours = both_drivers(stage, effort, task_id, theirs=function, ours=function)
    return against_sdk("YOLOv8n, our function in both drivers", count, sdk, ours, 1.0)


def yolo_bf16(stage: Stage, effort: Effort) -> Result:
    """Compare YOLOv8n in bf16 with the SDK's driver in f32, also in precision."""
    what = 'YOLOv8n, precision="bf16"'
    exact, rough = yolo(device="cpu"), yolo(device="cpu", precision="bf16")
    if rough.load().function.fingerprint_inputs()["precision"] != "bf16":
        return NotMeasured(what=what, reason="the processor does not support bf16")
    cost = _average_precisions(effort, exact, rough)
    return _yolo_against_sdk(stage, effort, what, rough, 3.5, note=cost)


def yolo_on_gpu(stage: Stage, effort: Effort) -> list[Result]:
    """Compare YOLOv8n on a GPU with the SDK's driver there and with the bare model."""
    import torch

    if not torch.cuda.is_available():
        return [NotMeasured(what="YOLOv8n on a GPU", reason="no GPU")]
    exact, rough = yolo(device="cuda"), yolo(device="cuda", half=True)
    count, function = effort.gpu_frames, rough.load()
    against = _yolo_against_sdk(
        stage,
        effort,
        "YOLOv8n on a GPU, half precision",
        rough,
        8.0,
        count=count,
        device="cuda",
        note=_average_precisions(effort, exact, rough),
    )
    task_id = stage.task(count)
    ours, bare = alternate(
        effort.rounds,
        fresh(stage, task_id, lambda: flow_run(stage, task_id, function)),
        lambda: _bare_model(stage, task_id, function.function),
    )
    share = median(bare) / median(ours)
    return [
        against,
        Row(
            what="share of the bare model's speed on the GPU",
            measured=f"{count / median(ours):.0f} of {count / median(bare):.0f} frames/s",
            ratio=share,
            target="at least 0.70",
            met=share >= 0.7,
        ),
    ]


def _bare_model(stage: Stage, task_id: int, function: Any) -> float:
    """Return the seconds of the model alone, for images that are decoded already."""
    from cvat_flows.tasks.cvat.task import fetch_media
    from cvat_flows.tasks.detect.runner import FunctionRunner
    from cvat_flows.tasks.fetch.plan import plan_frames
    from cvat_flows.tasks.fetch.source import FrameSource

    client = stage.client()
    media = fetch_media(client, task_id)
    plan = plan_frames(media, frames_per_run=72)
    with FrameSource(client, media, plan.batches) as source:
        loaded = [source.fetch(batch) for batch in plan.batches]
    begin = time.perf_counter()
    for frames in loaded:
        FunctionRunner(function).run(frames)
    return time.perf_counter() - begin


def _average_precisions(effort: Effort, exact: Function, rough: Function) -> str:
    scores = [
        mean_average_precision(detect_with(one.load().function), effort.pictures, (1280, 720))
        for one in (exact, rough)
    ]
    return f"mAP50-95 {scores[0]:.3f} -> {scores[1]:.3f}"


def _yolo_against_sdk(
    stage: Stage,
    effort: Effort,
    what: str,
    ours: Function,
    target: float,
    *,
    count: int | None = None,
    device: str = "cpu",
    note: str = "",
) -> Row:
    count = count or effort.yolo_frames
    task_id, function = stage.task(count), ours.load()
    plain = Function(
        module="bench.sdk_yolo", parameters={"model": WEIGHTS, "device": device}
    ).load()
    fresh(stage, task_id, lambda: sdk_run(stage, task_id, plain.function))()
    expected = boxes_of(stage, task_id)
    sdk, flow = both_drivers(stage, effort, task_id, theirs=plain, ours=function)
    difference = compare(expected, boxes_of(stage, task_id))
    row = against_sdk(
        what, count, sdk, flow, target, "; ".join(filter(None, (note, str(difference))))
    )
    exact = not {"precision", "half"} & ours.parameters.keys()
    if exact and not difference.same_within(0.1):
        raise AssertionError(
            f"{what}: the boxes differ from those of the SDK's driver: {difference}"
        )
    return row
