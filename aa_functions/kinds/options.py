"""Make the kind that a checkpoint is, and check that the options fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from aa_functions.errors import YoloOptionError
from aa_functions.kinds.boxes import Boxes
from aa_functions.kinds.keypoint_names import keypoint_names
from aa_functions.kinds.kind import BoxOptions, Kind, ModelInfo
from aa_functions.kinds.rotated_boxes import RotatedBoxes
from aa_functions.kinds.segments import Segments
from aa_functions.kinds.skeletons import Skeletons
from aa_functions.kinds.tags import Tags


@frozen(kw_only=True)
class KindOptions:
    """Options that decide what is detected; see `aa_functions.yolo.create`. None: the default."""

    classes: tuple[int, ...] | None = None
    iou: float | None = None
    max_det: int | None = None
    agnostic_nms: bool | None = None
    polygon_tolerance: float | None = None
    keypoints: str | Path | Sequence[str] | None = None
    keypoint_conf: float | None = None
    top_k: int | None = None


BOX_OPTIONS = frozenset({"iou", "max_det", "agnostic_nms"})
FITTING_OPTIONS: Mapping[str, frozenset[str]] = {
    "detect": BOX_OPTIONS,
    "obb": BOX_OPTIONS,
    "segment": BOX_OPTIONS | {"polygon_tolerance"},
    "pose": BOX_OPTIONS | {"keypoints", "keypoint_conf"},
    "classify": frozenset({"top_k"}),
}
"""The kinds, and the options of each beside `classes`."""


def make_kind(info: ModelInfo, options: KindOptions) -> Kind:
    """Return the kind of a model.

    Raises:
        YoloOptionError: if it is none of the five kinds, or an option is for another kind.
    """
    fitting = FITTING_OPTIONS.get(info.task)
    if fitting is None:
        raise YoloOptionError(
            f"'{info.name}' is a checkpoint for '{info.task}', which has no annotations in CVAT; "
            f"give one for {', '.join(FITTING_OPTIONS)}."
        )
    given = {name for name, value in asdict(options).items() if value is not None} - {"classes"}
    for name in sorted(given - fitting):
        kinds = [kind for kind, names in FITTING_OPTIONS.items() if name in names]
        raise YoloOptionError(
            f"The option {name} is for checkpoints of the kind {' or '.join(kinds)}, but "
            f"'{info.name}' is of the kind {info.task}; leave it out."
        )
    return _MAKERS[info.task](info, options)


def _boxes(info: ModelInfo, options: KindOptions) -> Kind:
    return Boxes(info=info, options=_box_options(info, options))


def _rotated_boxes(info: ModelInfo, options: KindOptions) -> Kind:
    return RotatedBoxes(info=info, options=_box_options(info, options))


def _segments(info: ModelInfo, options: KindOptions) -> Kind:
    tolerance = _or(options.polygon_tolerance, 1.0)
    return Segments(info=info, options=_box_options(info, options), polygon_tolerance=tolerance)


def _skeletons(info: ModelInfo, options: KindOptions) -> Kind:
    return Skeletons(
        info=info,
        options=_box_options(info, options),
        names=keypoint_names(info, options.keypoints),
        keypoint_conf=_or(options.keypoint_conf, 0.5),
    )


def _tags(info: ModelInfo, options: KindOptions) -> Kind:
    return Tags(info=info, classes=options.classes, top_k=_or(options.top_k, 1))


_MAKERS: Mapping[str, Callable[[ModelInfo, KindOptions], Kind]] = {
    "detect": _boxes,
    "obb": _rotated_boxes,
    "segment": _segments,
    "pose": _skeletons,
    "classify": _tags,
}


def _box_options(info: ModelInfo, options: KindOptions) -> BoxOptions:
    return BoxOptions(
        iou=_or(options.iou, 0.7),
        max_det=_or(options.max_det, 300),
        classes=options.classes,
        agnostic_nms=_or(options.agnostic_nms, info.agnostic_nms),
    )


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
