"""What hotcoco does for us: areas in pixels and average precision, as COCO defines them.

No other module imports it. A test compares the results with those of another library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from hotcoco import mask, metrics

IOUS = np.linspace(0.5, 0.95, 10).round(2)
"""The likenesses over which AP50-95 is the mean."""


def encode_polygon(points: Sequence[float], height: int, width: int) -> Any:
    """Return the pixels of a polygon (x, y, x, y, ...) as COCO's run lengths."""
    return mask.fr_poly(list(points), height, width)


def decode_region(segmentation: Any, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Return the pixels of a COCO segmentation: run lengths, or polygons with height and width."""
    if size is None:
        return mask.decode(mask.frPyObjects(segmentation, *segmentation["size"]))
    return mask.decode(mask.merge(mask.frPyObjects(segmentation, *size)))


def region_iou(a: Any, b: Any) -> float:
    """Return the intersection over union of two regions in run lengths."""
    return float(mask.iou([a], [b], [False])[0, 0])


def average_precision(
    scores: npt.NDArray[np.float64], matched: npt.NDArray[np.bool_], true_count: int
) -> float | None:
    """Return the area under the precision and recall curve, at COCO's 101 recalls.

    None without true objects: then it is undefined.

    >>> round(average_precision(np.array([0.9, 0.8]), np.array([True, False]), 1), 6)
    1.0
    >>> round(average_precision(np.array([0.9, 0.8]), np.array([False, True]), 1), 6)
    0.5
    """
    if not true_count:
        return None
    if not len(scores):
        return 0.0
    return float(metrics.average_precision(scores, matched, true_count))
