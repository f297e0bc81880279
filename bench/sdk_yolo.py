"""YOLO as users of the SDK write it: Ultralytics' `predict` on one image after another.

This follows CVAT's example function: its annotations, without scores. Ultralytics chooses the
number of threads. Batches have one image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import PIL.Image
from cvat_sdk.masks import encode_mask


def create(
    model: str,
    imgsz: int = 640,
    conf: float = 0.25,
    device: str = "cpu",
    keypoints: str = "",
    outlines: bool = True,
) -> Any:
    """Create the function from a checkpoint. `outlines`: return polygons in place of masks."""
    from aa_functions.backends.ultralytics_import import import_ultralytics

    options = {"imgsz": imgsz, "conf": conf, "verbose": False, "device": device}
    loaded = import_ultralytics().YOLO(model)
    if loaded.task == "segment" and not outlines:
        return PlainYolo(loaded, {**options, "retina_masks": True}, _masks, "mask")
    names = keypoints.split(",")
    return PlainYolo(loaded, options, CONVERTERS[loaded.task], TYPES.get(loaded.task), names)


class PlainYolo:
    """The AA function."""

    def __init__(
        self,
        model: Any,
        options: Mapping[str, Any],
        convert: Callable[[Any], Iterable[Any]],
        type_: str | None,
        keypoints: Sequence[str] = (),
    ) -> None:
        self._model = model
        self._options = options
        self._convert = convert
        labels = model.names.items()
        if model.task == "pose":
            points = [cvataa.keypoint_spec(name, index) for index, name in enumerate(keypoints)]
            specs = [cvataa.skeleton_label_spec(name, number, points) for number, name in labels]
        else:
            specs = [
                cvataa.label_spec(name, number, type=type_ or "rectangle")
                for number, name in labels
            ]
        self.spec = cvataa.DetectionFunctionSpec(labels=specs)

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[cvataa.DetectionAnnotation]:
        """Return annotations in pixels of the image."""
        (result,) = self._model.predict(source=image, **self._options)
        return list(self._convert(result))


def _rectangles(result: Any) -> Iterable[Any]:
    for points, number in zip(result.boxes.xyxy.tolist(), result.boxes.cls.tolist(), strict=True):
        yield cvataa.rectangle(int(number), points)


def _rotated_rectangles(result: Any) -> Iterable[Any]:
    for box, number in zip(result.obb.xywhr.tolist(), result.obb.cls.tolist(), strict=True):
        x, y, width, height, angle = box
        points = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        # CVAT's example leaves out the modulo, and fails where the angle is negative.
        yield cvataa.rectangle(int(number), points, rotation=math.degrees(angle) % 360)


def _polygons(result: Any) -> Iterable[Any]:
    if result.masks is not None:
        for outline, number in zip(result.masks.xy, result.boxes.cls.tolist(), strict=True):
            if len(outline) >= 3:
                yield cvataa.polygon(int(number), outline.ravel().tolist())


def _masks(result: Any) -> Iterable[Any]:
    if result.masks is not None:
        bitmaps = result.masks.data.numpy().astype(bool)
        for bitmap, number in zip(bitmaps, result.boxes.cls.tolist(), strict=True):
            if bitmap.any():
                yield cvataa.mask(int(number), encode_mask(bitmap))


def _skeletons(result: Any) -> Iterable[Any]:
    for points, number in zip(result.keypoints.data, result.boxes.cls.tolist(), strict=True):
        elements = [
            cvataa.keypoint(index, [x, y], outside=score < 0.5)
            for index, (x, y, score) in enumerate(points.tolist())
        ]
        yield cvataa.skeleton(int(number), elements)


def _tag(result: Any) -> Iterable[Any]:
    yield cvataa.tag(int(result.probs.top1))


CONVERTERS: Mapping[str, Callable[[Any], Iterable[Any]]] = {
    "detect": _rectangles,
    "obb": _rotated_rectangles,
    "segment": _polygons,
    "pose": _skeletons,
    "classify": _tag,
}
TYPES = {"classify": "tag", "segment": "polygon"}
"""The types of labels that are not for rectangles."""
