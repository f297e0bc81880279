"""Choose boxes among the candidates of a network: by score, class and overlap.

The rules are those of Ultralytics' `predict`, and so are the results.
"""

from __future__ import annotations

import numpy as np

from aa_functions.kinds.kind import BoxOptions

MAX_CANDIDATES = 30_000
"""Candidates with a lower score than these are left out, as in Ultralytics."""
CLASS_OFFSET = 7680
"""Pixels by which the boxes of each class are shifted, so that those of two never overlap."""

ROTATED_ROWS = 256
"""Rotated boxes that are compared with all better ones at once."""


def select_boxes(
    raw: np.ndarray, count: int, conf: float, options: BoxOptions, *, rotated: bool = False
) -> np.ndarray:
    """Return the boxes that are kept, sorted by falling confidence.

    Args:
        raw: Candidates (4 + count + more, n): x and y of the centre, width, height, a score for
            each class, and what else the network says.
        count: Number of classes.
        conf: Minimum confidence, 0 to 1.
        options: Which boxes to keep.
        rotated: Whether the last row is an angle in radians.

    Returns:
        Rows (k, 6 + more): the box, its confidence and class, and what else the network says. The
        box is its corners, or centre and size if it is rotated.
    """
    best = raw[4 : 4 + count].max(0)
    rows = raw[:, best > conf].T
    scores = rows[:, 4 : 4 + count]
    classes = scores.argmax(1)
    boxes = rows[:, :4] if rotated else corners(rows[:, :4])
    found = np.concatenate(
        [boxes, scores.max(1, keepdims=True), classes[:, None], rows[:, 4 + count :]],
        axis=1,
        dtype=np.float32,
    )
    if options.classes is not None:
        found = found[np.isin(found[:, 5], options.classes)]
    found = found[np.argsort(-found[:, 4], kind="stable")][:MAX_CANDIDATES]
    shift = found[:, 5:6] * np.float32(0 if options.agnostic_nms else CLASS_OFFSET)
    if rotated:
        shifted = np.concatenate([found[:, :2] + shift, found[:, 2:4], found[:, -1:]], axis=1)
        kept = keep_rotated(shifted, options.iou)
    else:
        kept = keep_boxes(found[:, :4] + shift, options.iou)
    chosen: np.ndarray = found[kept[: options.max_det]]
    return chosen


def select_final(raw: np.ndarray, conf: float, options: BoxOptions) -> np.ndarray:
    """Return the rows (n, 6 + more) with enough confidence, of a network that needs no NMS."""
    kept = raw[:, 4] > conf
    if options.classes is not None:
        kept &= np.isin(raw[:, 5], options.classes)
    return raw[kept][: options.max_det]


def corners(boxes: np.ndarray) -> np.ndarray:
    """Return the corners of boxes (n, 4) given by centre and size.

    >>> corners(np.array([[10, 10, 4, 2]])).tolist()
    [[8.0, 9.0, 12.0, 11.0]]
    """
    half = boxes[:, 2:4] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def keep_boxes(boxes: np.ndarray, iou: float) -> np.ndarray:
    """Return the indices of boxes (n, 4), sorted by falling score, that no better box covers.

    >>> keep_boxes(np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]]), 0.7).tolist()
    [0, 2]
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.arange(len(boxes))
    kept = []
    while len(left):
        first, rest = left[0], left[1:]
        kept.append(first)
        others = boxes[rest]
        low = np.maximum(boxes[first, :2], others[:, :2])
        high = np.minimum(boxes[first, 2:], others[:, 2:])
        sides = np.maximum(high - low, 0)
        common = sides[:, 0] * sides[:, 1]
        with np.errstate(invalid="ignore"):  # two boxes without an area
            shares = common / (areas[first] + areas[rest] - common)
        left = rest[~(shares > iou)]
    return np.array(kept, np.intp)


def keep_rotated(boxes: np.ndarray, iou: float) -> np.ndarray:
    """Return the indices of boxes (n, 5), sorted by falling score, that overlap no better box.

    A box also counts as better if it is itself not kept: this is "fast NMS".
    """
    kept = np.ones(len(boxes), bool)
    for start in range(0, len(boxes), ROTATED_ROWS):
        stop = min(start + ROTATED_ROWS, len(boxes))
        overlaps = overlaps_of_rotated(boxes[start:stop], boxes[:stop]) > iou
        kept[start:stop] = ~np.tril(overlaps, start - 1).any(1)
    return np.flatnonzero(kept)


def overlaps_of_rotated(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how much boxes (m, 5) overlap others (n, 5), as probabilistic IoU (m, n), 0 to 1.

    Boxes are x, y, width, height and radians. They count as normal distributions, whose
    Bhattacharyya distance gives the overlap (Llerena et al., https://arxiv.org/abs/2106.06072).
    """
    tiny = 1e-7
    x1, y1 = boxes[:, None, 0], boxes[:, None, 1]
    x2, y2 = others[:, 0], others[:, 1]
    a1, b1, c1 = (entry[:, None] for entry in _covariance(boxes))
    a2, b2, c2 = _covariance(others)
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    determinant = a * b - c * c
    shift = (a * (y1 - y2) ** 2 + b * (x1 - x2) ** 2) / (determinant + tiny) * 0.25
    skew = (c * (x2 - x1) * (y1 - y2)) / (determinant + tiny) * 0.5
    volume = np.maximum(a1 * b1 - c1 * c1, 0) * np.maximum(a2 * b2 - c2 * c2, 0)
    shape = np.log(determinant / (4 * np.sqrt(volume) + tiny) + tiny) * 0.5
    distance = np.clip(shift + skew + shape, tiny, 100)
    overlaps: np.ndarray = 1 - np.sqrt(1 - np.exp(-distance) + tiny)
    return overlaps


def _covariance(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the entries (xx, yy, xy) of the covariance of uniform distributions over boxes."""
    across, down = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return (
        across * cos**2 + down * sin**2,
        across * sin**2 + down * cos**2,
        (across - down) * cos * sin,
    )
