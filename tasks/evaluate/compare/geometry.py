"""The box, the area and the corners of a shape, in pixels of its image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cvat_flows.tasks.model.annotations import TAG, Annotation
from cvat_flows.tasks.model.labels import SKELETON

Points = npt.NDArray[np.float64]
_ELLIPSE_CORNERS = 64


def box_of(shape: Annotation) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom. A tag has a box of one pixel, the same on every frame.

    >>> box_of(Annotation(type="polygon", label_id=1, frame=0, points=(5, 1, 9, 4, 2, 3)))
    (2.0, 1.0, 9.0, 4.0)
    """
    if shape.type == TAG:
        return (0.0, 0.0, 1.0, 1.0)
    if shape.type == "rectangle" and not shape.rotation % 360:
        left, top, right, bottom = shape.points
        return (float(left), float(top), float(right), float(bottom))
    if shape.type == "mask":
        left, top, right, bottom = shape.points[-4:]
        return (float(left), float(top), float(right) + 1, float(bottom) + 1)
    corners = keypoints_of(shape)[:, :2] if shape.type == SKELETON else corners_of(shape)
    if not len(corners):
        return (0.0, 0.0, 0.0, 0.0)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return (float(left), float(top), float(right), float(bottom))


def corners_of(shape: Annotation) -> Points:
    """Return the corners of a rectangle, a polygon or an ellipse, in order; shape (n, 2)."""
    points = np.array(shape.points, np.float64).reshape(-1, 2)
    if shape.type == "rectangle":
        (left, top), (right, bottom) = points
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        return _rotate(corners, corners.mean(axis=0), shape.rotation)
    if shape.type == "ellipse":
        # In CVAT an ellipse is its centre, then its rightmost x and its topmost y.
        centre, (right, top) = points
        angles = np.arange(_ELLIPSE_CORNERS) * (math.tau / _ELLIPSE_CORNERS)
        radii = np.array([right - centre[0], centre[1] - top])
        around = centre + radii * np.column_stack([np.cos(angles), np.sin(angles)])
        return _rotate(around, centre, shape.rotation)
    return points


def keypoints_of(skeleton: Annotation) -> Points:
    """Return x, y and label id of the keypoints that are on the image; shape (n, 3)."""
    found = [(*e.points[:2], e.label_id) for e in skeleton.elements if not e.outside and e.points]
    return np.array(found, np.float64).reshape(-1, 3)


def area_of(shape: Annotation) -> float:
    """Return the pixels that a rectangle, a polygon, an ellipse or a mask covers.

    >>> area_of(Annotation(type="polygon", label_id=1, frame=0, points=(0, 0, 4, 0, 4, 3)))
    6.0
    """
    if shape.type == "mask":
        return float(sum(shape.points[1:-4:2]))
    return polygon_area(corners_of(shape))


def polygon_area(corners: Points | Sequence[Sequence[float]]) -> float:
    """Return the area inside a polygon that does not cross itself."""
    x, y = np.asarray(corners, np.float64).reshape(-1, 2).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _rotate(points: Points, centre: Points, degrees: float) -> Points:
    if not degrees % 360:
        return points
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned: Points = (points - centre) @ turn.T + centre
    return turned
