"""Make CVAT's annotations without checking each number.

The SDK's factories check the type of every coordinate, which takes longer than the detection for a
mask of some hundred run lengths. The objects are equal to those of the factories.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cvat_sdk import models

_TYPES = {
    name: models.ShapeType(name) for name in ("rectangle", "polygon", "mask", "skeleton", "points")
}


def make_shape(type_: str, label_id: int, points: Sequence[float], **fields: Any) -> Any:
    """Return what `cvat_sdk.auto_annotation.shape` returns for a list of floats.

    >>> from cvat_sdk.auto_annotation import rectangle
    >>> made = make_shape("rectangle", 0, [1.0, 2.0, 3.0, 4.0], score=0.5)
    >>> made == rectangle(0, [1.0, 2.0, 3.0, 4.0], score=0.5)
    True
    """
    return models.LabeledShapeRequest(
        type=_TYPES[type_], label_id=label_id, frame=0, points=points, _check_type=False, **fields
    )


def make_skeleton(label_id: int, elements: Sequence[Any], **fields: Any) -> Any:
    """Return what `cvat_sdk.auto_annotation.skeleton` returns."""
    return models.LabeledShapeRequest(
        type=_TYPES["skeleton"],
        label_id=label_id,
        frame=0,
        elements=elements,
        _check_type=False,
        **fields,
    )


def make_keypoint(label_id: int, points: Sequence[float], **fields: Any) -> Any:
    """Return what `cvat_sdk.auto_annotation.keypoint` returns for a list of floats."""
    return models.SubLabeledShapeRequest(
        type=_TYPES["points"],
        label_id=label_id,
        frame=0,
        points=points,
        _check_type=False,
        **fields,
    )
