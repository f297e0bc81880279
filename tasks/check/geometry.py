"""Find and clip shapes that leave the image, are inverted or have no area.

CVAT stores such shapes unchanged, so the user decides what to do with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin

from attrs import evolve, frozen

from cvat_flows.tasks.check.masks import clip_mask, mask_defect
from cvat_flows.tasks.model.annotations import TAG, Detection
from cvat_flows.tasks.model.labels import SKELETON

TOLERANCE = 0.1
"""Pixels by which a shape may leave the image without being dropped or failing. The same model, on
another device, puts a box at the border up to this far outside; results must not depend on it."""

Box = tuple[float, float, float, float]

_FEWEST_NUMBERS = {"polygon": 6, "polyline": 4, "points": 2, "mask": 5}
"""A shape with fewer is only a part of a shape, for example a polygon with two corners."""


@frozen(kw_only=True)
class ImageSize:
    """The size of an image in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def is_degenerate(shape: Detection) -> bool:
    """Return whether a shape has too few points to be one.

    CVAT refuses such a shape. Models return them for tiny objects.
    """
    count = len(shape.points)
    is_odd = shape.type != "mask" and count % 2 == 1  # then the function is wrong
    return count < _FEWEST_NUMBERS.get(shape.type, 0) and not is_odd


def find_defect(shape: Detection, size: ImageSize, tolerance: float = TOLERANCE) -> str | None:
    """Return what is wrong with a shape's position or size; None if nothing is.

    `check.server_rules` must have accepted the shape, unless it is degenerate.
    """
    if shape.type == TAG:
        return None
    if is_degenerate(shape):
        return "has no area"
    if shape.type == "mask":
        return mask_defect(shape.points, size.width, size.height)
    if shape.type in ("rectangle", "ellipse"):
        width, height = _extent(shape)
        if width < 0 or height < 0:
            return "is inverted"
        if width == 0 or height == 0:
            return "has no area"
    if shape.type == "polygon" and _is_collinear(shape.points):
        return "has no area"
    if shape.type == "polyline" and _is_one_point(shape.points):
        return "has no area"
    box = bounding_box(shape)
    if box is None:
        return None
    left, top, right, bottom = box
    if (
        left < -tolerance
        or top < -tolerance
        or right > size.width + tolerance
        or bottom > size.height + tolerance
    ):
        return "leaves the image"
    return None


def clip(shape: Detection, size: ImageSize) -> Detection | None:
    """Return the part of a shape inside the image; None if nothing with an area is left.

    Rectangles, polygons and masks are cut at the border. Points of polylines and points shapes are
    moved to the border. Rotated rectangles, ellipses and cuboids cannot be cut; they stay whole if
    a part is inside. Inverted rectangles and ellipses are corrected.
    """
    if is_degenerate(shape):
        return None
    if shape.type == "mask":
        points = clip_mask(shape.points, size.width, size.height)
        return None if points is None else evolve(shape, points=points)
    if shape.type in ("rectangle", "ellipse"):
        shape = _uninvert(shape)
        if 0 in _extent(shape):
            return None
    box = bounding_box(shape)
    if box is None:
        return shape
    left, top, right, bottom = box
    if right < 0 or bottom < 0 or left > size.width or top > size.height:
        return None
    if shape.type == SKELETON:
        return evolve(shape, elements=tuple(_clamp(element, size) for element in shape.elements))
    if shape.type in ("points", "polyline"):
        shape = _clamp(shape, size)
        return None if shape.type == "polyline" and _is_one_point(shape.points) else shape
    if shape.type == "polygon":
        return _clip_polygon(shape, size)
    if shape.type == "rectangle" and not _is_rotated(shape):
        shape = _clamp(shape, size)
        return None if 0 in _extent(shape) else shape
    return shape


def bounding_box(shape: Detection) -> Box | None:
    """Return left, top, right and bottom in pixels.

    For a skeleton, only visible keypoints count; None if there are none.
    """
    if shape.type == SKELETON:
        points = [p for element in shape.elements if not element.outside for p in element.points]
        return _box_of(points) if points else None
    if shape.type == "ellipse":
        return _box_of_ellipse(shape)
    if shape.type == "rectangle" and _is_rotated(shape):
        return _box_of_rotated(shape)
    return _box_of(shape.points)


def _box_of(points: Sequence[float]) -> Box:
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])


def _box_of_rotated(rectangle: Detection) -> Box:
    xtl, ytl, xbr, ybr = rectangle.points
    angle = radians(rectangle.rotation)
    half_width, half_height = abs(xbr - xtl) / 2, abs(ybr - ytl) / 2
    across = half_width * abs(cos(angle)) + half_height * abs(sin(angle))
    down = half_width * abs(sin(angle)) + half_height * abs(cos(angle))
    x, y = (xtl + xbr) / 2, (ytl + ybr) / 2
    return x - across, y - down, x + across, y + down


def _box_of_ellipse(ellipse: Detection) -> Box:
    # CVAT's points of an ellipse are its centre, then its rightmost x and its topmost y.
    x, y = ellipse.points[:2]
    radius_x, radius_y = _extent(ellipse)
    angle = radians(ellipse.rotation)
    across = ((radius_x * cos(angle)) ** 2 + (radius_y * sin(angle)) ** 2) ** 0.5
    down = ((radius_x * sin(angle)) ** 2 + (radius_y * cos(angle)) ** 2) ** 0.5
    return x - across, y - down, x + across, y + down


def _extent(shape: Detection) -> tuple[float, float]:
    """Return width and height of a rectangle, or the radii of an ellipse; negative if inverted."""
    x1, y1, x2, y2 = shape.points
    return (x2 - x1, y1 - y2) if shape.type == "ellipse" else (x2 - x1, y2 - y1)


def _is_rotated(shape: Detection) -> bool:
    return bool(shape.rotation % 180)


def _uninvert(shape: Detection) -> Detection:
    width, height = _extent(shape)
    if width >= 0 and height >= 0:
        return shape
    x1, y1, x2, y2 = shape.points
    if shape.type == "ellipse":
        return evolve(shape, points=(x1, y1, x1 + abs(width), y1 - abs(height)))
    return evolve(shape, points=(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))


def _clamp(shape: Detection, size: ImageSize) -> Detection:
    """Move points outside the image to the border."""
    if shape.outside:  # the position of a keypoint marked outside means nothing
        return shape
    limits = (size.width, size.height)
    points = tuple(
        min(max(value, 0), limits[index % 2]) for index, value in enumerate(shape.points)
    )
    return shape if points == shape.points else evolve(shape, points=points)


def _is_one_point(points: Sequence[float]) -> bool:
    """Return whether all points are the same, so that a line has no length."""
    return len(set(zip(points[::2], points[1::2], strict=True))) == 1


def _is_collinear(points: Sequence[float]) -> bool:
    """Return whether all corners lie on one line."""
    # The signed area cannot tell: it is zero for a figure of eight, too.
    corners = list(zip(points[::2], points[1::2], strict=True))
    x, y = corners[0]
    other = next((corner for corner in corners if corner != (x, y)), None)
    if other is None:
        return True
    across, down = other[0] - x, other[1] - y
    return all(across * (b - y) == down * (a - x) for a, b in corners)


def _clip_polygon(polygon: Detection, size: ImageSize) -> Detection | None:
    """Cut along one border of the image after the other (Sutherland and Hodgman, 1974).

    If several pieces are left, they stay connected along the border as one polygon.
    """
    corners = list(zip(polygon.points[::2], polygon.points[1::2], strict=True))
    for axis, limit, sign in ((0, 0, 1), (0, size.width, -1), (1, 0, 1), (1, size.height, -1)):
        corners = _cut_half_plane(corners, axis, limit, sign)
    kept = [
        corner
        for corner, before in zip(corners, corners[-1:] + corners, strict=False)
        if corner != before
    ]
    points = tuple(value for corner in kept for value in corner)
    if len(kept) < 3 or _is_collinear(points):
        return None
    return evolve(polygon, points=points)


def _cut_half_plane(
    corners: list[tuple[float, float]], axis: int, limit: float, sign: int
) -> list[tuple[float, float]]:
    """Return the part of a polygon where `sign * (coordinate - limit)` is not negative."""
    kept: list[tuple[float, float]] = []
    for before, corner in zip(corners[-1:] + corners, corners, strict=False):
        was_in = sign * (before[axis] - limit) >= 0
        is_in = sign * (corner[axis] - limit) >= 0
        if was_in != is_in:
            share = (limit - before[axis]) / (corner[axis] - before[axis])
            other = before[1 - axis] + share * (corner[1 - axis] - before[1 - axis])
            kept.append((limit, other) if axis == 0 else (other, limit))
        if is_in:
            kept.append(corner)
    return kept
