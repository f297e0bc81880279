"""Compare a YOLO function's annotations with what Ultralytics' `predict` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from cvat_sdk.masks import decode_mask

PIXELS = 0.1
"""Allowed difference of a coordinate."""
MASK_IOU = 0.999
SCORE = 1e-3
"""Allowed difference of a score."""


def assert_equal(kind: str, shapes: Sequence[Any], wanted: Any, image: PIL.Image.Image) -> None:
    """Compare annotations of an image with a result of Ultralytics' `predict`."""
    if kind == "classify":
        best = int(wanted.probs.top1)
        assert [shape.label_id for shape in shapes] == [best]
        assert shapes[0].score == pytest.approx(float(wanted.probs.top1conf), abs=1e-3)
        return
    boxes = wanted.obb if kind == "obb" else wanted.boxes
    assert len(shapes) == len(boxes)
    labels, scores = boxes.cls.int().tolist(), boxes.conf.tolist()
    left = list(range(len(boxes)))
    for shape in shapes:  # those of equal scores can be in another order
        match = next(
            (
                index
                for index in left
                if shape.label_id == labels[index]
                and abs(shape.score - scores[index]) < SCORE
                and _is_same(kind, shape, wanted, index, image)
            ),
            None,
        )
        assert match is not None, f"not in predict's result: {shape}"
        left.remove(match)


def _is_same(kind: str, shape: Any, wanted: Any, index: int, image: PIL.Image.Image) -> bool:
    if kind == "segment":
        mask = wanted.masks.data[index].numpy() > 0
        return iou(bitmap(shape, image), mask) >= MASK_IOU
    if kind == "pose":
        outside = [confidence < 0.5 for confidence in wanted.keypoints.conf[index].tolist()]
        points = np.array([element.points for element in shape.elements])
        return outside == [element.outside for element in shape.elements] and _is_near(
            points, wanted.keypoints.xy[index].numpy()
        )
    if kind == "obb":
        expected = wanted.obb.xyxyxyxy[index].numpy()
        return _is_near(by_place(corners(shape)), by_place(expected))
    return _is_near(np.array(shape.points), wanted.boxes.xyxy[index].numpy())


def _is_near(points: np.ndarray, others: np.ndarray) -> bool:
    return bool(np.abs(points - others).max() <= PIXELS)


def bitmap(shape: Any, image: Any) -> np.ndarray:
    mask: np.ndarray = decode_mask(shape.points, image_width=image.width, image_height=image.height)
    return mask


def polygon_bitmap(points: Sequence[float], image: Any) -> np.ndarray:
    canvas = np.zeros((image.height, image.width), np.uint8)
    corners = np.array(points).reshape(-1, 2)
    # OpenCV's corners are centres of pixels, in 16ths.
    cv2.fillPoly(canvas, [np.round((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return canvas.astype(bool)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def corners(rectangle: Any) -> np.ndarray:
    """Return the corners as CVAT draws them: turned clockwise around the centre."""
    x1, y1, x2, y2 = rectangle.points
    box = ((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1), rectangle.rotation
    found: np.ndarray = cv2.boxPoints(box)
    return found


def by_place(points: np.ndarray) -> np.ndarray:
    centre = points.mean(0)
    return points[np.argsort(np.arctan2(*(points - centre).T))]
