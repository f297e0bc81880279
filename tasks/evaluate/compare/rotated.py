"""The intersection over union of two rotated rectangles."""

from __future__ import annotations

import numpy as np

from cvat_flows.tasks.evaluate.compare.geometry import Points, corners_of, polygon_area
from cvat_flows.tasks.model.annotations import Annotation


def rotated_iou(a: Annotation, b: Annotation) -> float:
    """Return the IoU of two rectangles.

    >>> a = Annotation(type="rectangle", label_id=1, frame=0, points=(0, 0, 10, 10))
    >>> b = Annotation(type="rectangle", label_id=1, frame=0, points=(0, 0, 10, 10), rotation=90)
    >>> round(rotated_iou(a, b), 6)
    1.0
    """
    one, other = _clockwise(corners_of(a)), _clockwise(corners_of(b))
    common = one
    for begin, end in zip(other, np.roll(other, -1, axis=0), strict=True):
        common = _cut(common, begin, end)
        if len(common) < 3:
            return 0.0
    shared = polygon_area(common)
    union = polygon_area(one) + polygon_area(other) - shared
    return shared / union if union > 0 else 0.0


def _clockwise(corners: Points) -> Points:
    x, y = corners.T
    turned = float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    return corners if turned >= 0 else corners[::-1]


def _cut(polygon: Points, begin: Points, end: Points) -> Points:
    """Return the part of a convex polygon on the inner side of a line."""
    along = end - begin
    from_line = along[0] * (polygon[:, 1] - begin[1]) - along[1] * (polygon[:, 0] - begin[0])
    kept: list[Points] = []
    for n, corner in enumerate(polygon):
        following = (n + 1) % len(polygon)
        here, there = from_line[n], from_line[following]
        if here >= 0:
            kept.append(corner)
        if (here > 0 > there) or (here < 0 < there):
            kept.append(corner + (polygon[following] - corner) * (here / (here - there)))
    return np.array(kept).reshape(-1, 2)
