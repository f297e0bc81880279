"""The rows of the other kinds of YOLO models, of Transformers, and of encoding masks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from cvat_sdk.masks import encode_mask

from aa_functions.mask_codec import encode_bitmap
from aa_functions.training.figures import KEYPOINTS
from aa_functions.training.shape_images import LABELS, make_shape_images
from bench.rows import Effort, Result, against_sdk, both_drivers
from bench.runs import Function, alternate, median
from bench.stage import Stage
from bench.table import Row
from tests.support.random_yolo import make_random_yolo
from tests.support.yolo_weights import WEIGHTS

IMGSZ = 640
FRAME = (1280, 720)
MASKS = 1000


@frozen(kw_only=True)
class YoloKind:
    """A kind of model, and what is demanded of it."""

    network: str
    target: float
    keypoints: tuple[str, ...] = ()
    weights: Path | None = None
    """None: random ones. Random masks would be noise."""
    outlines: bool = False
    """Whether both return polygons in place of masks, as CVAT's example function does."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the CVAT task."""
        return ("arrow",) if self.keypoints else LABELS


KINDS = (
    YoloKind(network="yolov8-seg.yaml", target=2.0, weights=WEIGHTS["segment"], outlines=True),
    YoloKind(network="yolov8-seg.yaml", target=1.7, weights=WEIGHTS["segment"]),
    YoloKind(network="yolov8n-pose.yaml", target=2.0, keypoints=KEYPOINTS),
    YoloKind(network="yolov8n-obb.yaml", target=2.0),
    YoloKind(network="yolov8n-cls.yaml", target=2.0),
)


def kinds(stage: Stage, effort: Effort) -> list[Result]:
    """Compare each kind at 640 on the CPU with CVAT's way to write that function."""
    return [_kind(stage, effort, kind) for kind in KINDS]


def _kind(stage: Stage, effort: Effort, kind: YoloKind) -> Row:
    weights = kind.weights or _random(stage, kind)
    given = {"model": str(weights), "imgsz": IMGSZ, "device": "cpu"}
    if kind.keypoints:
        given["keypoints"] = ",".join(kind.keypoints)
    their_own = {"outlines": kind.outlines}
    plain = Function(module="bench.sdk_yolo", parameters={**given, **their_own}).load()
    ours = Function(module="aa_functions.yolo", parameters=given).load()
    count = effort.kind_frames
    task_id = stage.task(count, FRAME, skeleton=kind.keypoints)
    options = {"conv_mask_to_poly": kind.outlines}
    sdk, flow = both_drivers(stage, effort, task_id, theirs=plain, ours=ours, **options)
    held, _ = stage.client().tasks.api.retrieve_annotations(task_id)
    found = (len(held.shapes) + len(held.tags)) / count
    note = f"{found:.0f} annotations a frame"
    what = f"{Path(kind.network).stem}{', polygons' * kind.outlines} at 640 on CPU"
    return against_sdk(what, count, sdk, flow, kind.target, note)


def _random(stage: Stage, kind: YoloKind) -> Path:
    pictures = [made.image for made in make_shape_images(2, seed=7, sizes=[FRAME])]
    return make_random_yolo(
        kind.network,
        stage.folder,
        pictures,
        imgsz=IMGSZ,
        labels=kind.labels,
        keypoints=len(kind.keypoints) or None,
    )


def transformers(stage: Stage, effort: Effort) -> Row:
    """Compare a detector of Transformers in batches with the pipeline on one image at a time."""
    from tests.support.tiny_models import make_tiny_model

    folder = make_tiny_model("detection", stage.folder / "tiny-detector")
    count = effort.kind_frames
    task_id = stage.task(count, FRAME)
    plain = Function(module="bench.sdk_transformers", parameters={"model": str(folder)}).load()
    ours = Function(module="aa_functions.huggingface", parameters={"model": str(folder)}).load()
    sdk, flow = both_drivers(stage, effort, task_id, theirs=plain, ours=ours)
    return against_sdk("Transformers, a tiny detector on CPU", count, sdk, flow, 1.0)


def encoding(stage: Stage, effort: Effort) -> Row:
    """Compare the encoding of masks with the SDK's."""
    bitmaps = [_blob(seed) for seed in range(MASKS)]

    def ours() -> float:
        begin = time.perf_counter()
        for bitmap in bitmaps:
            encode_bitmap(bitmap)
        return time.perf_counter() - begin

    def theirs() -> float:
        begin = time.perf_counter()
        for bitmap in bitmaps:
            encode_mask(bitmap)
        return time.perf_counter() - begin

    assert encode_bitmap(bitmaps[0]) == encode_mask(bitmaps[0])
    plain, fast = alternate(max(1, effort.rounds // 2), theirs, ours)
    ratio = median(plain) / median(fast)
    return Row(
        what=f"encoding {MASKS:,} masks of {FRAME[0]}x{FRAME[1]}",
        measured=f"{median(fast):.2f} s, cvat_sdk.masks.encode_mask {median(plain):.2f} s",
        ratio=ratio,
        target="at least 5",
        met=ratio >= 5,
    )


def _blob(seed: int) -> Any:
    """Return the mask of an ellipse somewhere in the frame."""
    random = np.random.default_rng(seed)
    width, height = FRAME
    x, y = random.uniform(0, width), random.uniform(0, height)
    across, down = random.uniform(20, 300, 2)
    rows, columns = np.ogrid[:height, :width]
    return ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 < 1
