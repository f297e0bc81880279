"""Compare annotations of a picture with what was drawn on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image

from aa_functions.training.figures import KEYPOINTS
from aa_functions.training.shape_images import TrueBox
from tests.support.yolo_equality import bitmap, corners, iou, polygon_bitmap

SHARES: Mapping[str, float] = {
    "segment": 0.75,
    "polygons": 0.6,
    "obb": 0.85,
    "pose": 0.9,
    "classify": 0.9,
}
"""Of what was drawn, the least share that the trained model of a kind finds."""
MASK_IOU = 0.8
ROTATED_IOU = 0.6
KEYPOINT_SHARE = 0.15
"""How far a keypoint may be off, as a share of the longer side of the shape."""


def is_found(
    kind: str,
    drawn: TrueBox,
    annotations: Sequence[Any],
    image: PIL.Image.Image,
    names: Mapping[int, str],
    parts: Mapping[int, str],
) -> bool:
    """Return whether one of the annotations is what was drawn.

    Args:
        kind: A kind of model, or `polygons`.
        drawn: What was drawn.
        annotations: Those of the picture, from a function or from CVAT.
        image: The picture.
        names: The names of labels by id.
        parts: The names of keypoints by id.
    """
    alike = [one for one in annotations if names[one.label_id] == drawn.label]
    if kind == "classify":
        return bool(alike)
    if kind == "pose":
        return any(_keypoint_error(drawn, one, image, parts) < KEYPOINT_SHARE for one in alike)
    if kind == "obb":
        assert drawn.rotated is not None
        wanted = polygon_bitmap(np.ravel(drawn.rotated.corners()).tolist(), image)
        covered = [polygon_bitmap(corners(one).ravel().tolist(), image) for one in alike]
        return any(iou(one, wanted) > ROTATED_IOU for one in covered)
    wanted = polygon_bitmap(np.ravel(drawn.outline).tolist(), image)
    if kind == "segment":
        covered = [bitmap(one, image) for one in alike]
    else:
        covered = [polygon_bitmap(one.points, image) for one in alike]
    return any(iou(one, wanted) > MASK_IOU for one in covered)


def _keypoint_error(
    drawn: TrueBox, skeleton: Any, image: PIL.Image.Image, parts: Mapping[int, str]
) -> float:
    """Return how far the worst keypoint that is in the picture is off."""
    places = {parts[element.label_id]: element.points for element in skeleton.elements}
    wanted = np.array(drawn.keypoints)
    found = np.array([places[name] for name in KEYPOINTS])
    inside = ((wanted >= 0) & (wanted < image.size)).all(axis=1)
    side = max(drawn.xbr - drawn.xtl, drawn.ybr - drawn.ytl)
    return float(np.abs(found - wanted)[inside].max(initial=0) / side)
