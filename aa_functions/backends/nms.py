"""Choose among a network's overlapping boxes as Ultralytics does (non-maximum suppression).

Equal to Ultralytics to the last bit: the same steps in the same precision. Boxes of exactly equal
confidence keep the network's order; torch leaves theirs open. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_CANDIDATES = 30_000
"""Only so many of the most confident boxes are compared."""
CLASS_DISTANCE = np.float32(7680)
"""Pixels by which the boxes of different classes are moved apart, so that they do not overlap."""


def choose_boxes(
    raw: np.ndarray,
    *,
    conf: float,
    iou: float,
    max_det: int,
    classes: Sequence[int] | None,
    agnostic: bool,
) -> np.ndarray:
    """Return the boxes to keep.

    Args:
        raw: The network's output for an image, (4 + classes, boxes), f32: centre x and y, width,
            height, and a confidence for each class.
        conf: Minimum confidence, 0 to 1.
        iou: Of two boxes that overlap more than this (0 to 1), the less confident is dropped.
        max_det: Maximum number of boxes.
        classes: Classes to keep; None: all.
        agnostic: Also compare boxes of different classes.

    Returns:
        (n, 6), f32: corners, confidence and class, sorted by falling confidence.
    """
    likely = raw[:, raw[4:].max(0) > conf]
    numbers = likely[4:].argmax(0)
    if classes is not None:
        wanted = np.isin(numbers, classes)
        likely, numbers = likely[:, wanted], numbers[wanted]
    scores = likely[4:].max(0)
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    scores, numbers = scores[order], numbers[order].astype(np.float32)
    centre, half = likely[:2, order].T, likely[2:4, order].T / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    compared = corners if agnostic else corners + (numbers * CLASS_DISTANCE)[:, None]
    kept = _without_overlaps(compared, iou)[:max_det]
    return np.column_stack([corners[kept], scores[kept], numbers[kept]])


def _without_overlaps(boxes: np.ndarray, iou: float) -> list[int]:
    """Return the indices of boxes (n, 4) that overlap with none that is kept before them."""
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    areas = (right - left) * (bottom - top)
    rest = np.arange(len(boxes))
    kept: list[int] = []
    while rest.size:
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        if shared.any():
            rest = rest[shared / (areas[best] + areas[rest] - shared) <= iou]
    return kept
