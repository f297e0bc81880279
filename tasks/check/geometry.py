"""Shapes that leave the image, are inverted or have no area: find them, and clip them.

CVAT stores such shapes as they are (CVAT_FACTS 5), so what happens to them is a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin

from attrs import evolve, frozen

from cvat_flows.tasks.check.masks import clip_mask, mask_defect
from cvat_flows.tasks.model.annotations import TAG, Detection
from cvat_flows.tasks.model.labels import SKELETON

TOLERANCE = 0.1
"""Pixels that a shape may stick out before it is dropped or fails. The same model puts a box that
ends at the border up to this far beyond it on another device; results must not hang on that."""

Box = tuple[float, float, float, float]


@frozen(kw_only=True)
class ImageSize:
    """Pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def find_defect(shape: Detection, size: ImageSize, tolerance: float = TOLERANCE) -> str | None:
    """What is wrong with a shape's place or extent; None if nothing is.

    The shape has to be one that `tasks.check.server_rules` finds no problem with.
    """
    if shape.type == TAG:
        return None
    if shape.type == "mask":
        return mask_defect(shape.points, size.width, size.height)
    if shape.type in ("rectangle", "ellipse"):
        width, height = _extent(shape)
        if width < 0 or height < 0:
            return "is inverted"
        if width == 0 or height == 0:
            return "has no area"
    if shape.type == "polygon" and _on_a_line(shape.points):
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
    """The part of a shape inside the image; None if there is none, or none with an area.

    Rectangles and polygons are cut off at the border, masks too. Points and polylines have what
    is outside moved to the border. Rotated rectangles, ellipses and cuboids cannot be cut off and
    stay whole as long as a part is inside. Inverted boxes are turned round.
    """
    if shape.type == "mask":
        points = clip_mask(shape.points, size.width, size.height)
        return None if points is None else evolve(shape, points=points)
    if shape.type in ("rectangle", "ellipse"):
        shape = _upright(shape)
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
        return _clamp(shape, size)
    if shape.type == "polygon":
        return _clip_polygon(shape, size)
    if shape.type == "rectangle" and not _is_rotated(shape):
        shape = _clamp(shape, size)
        return None if 0 in _extent(shape) else shape
    return shape


def bounding_box(shape: Detection) -> Box | None:
    """Left, top, right, bottom in pixels; of a skeleton that of its visible points.

    None if nothing is visible.
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
    """CVAT's points of an ellipse: its centre, then its rightmost x and its topmost y."""
    x, y = ellipse.points[:2]
    radius_x, radius_y = _extent(ellipse)
    angle = radians(ellipse.rotation)
    across = ((radius_x * cos(angle)) ** 2 + (radius_y * sin(angle)) ** 2) ** 0.5
    down = ((radius_x * sin(angle)) ** 2 + (radius_y * cos(angle)) ** 2) ** 0.5
    return x - across, y - down, x + across, y + down


def _extent(shape: Detection) -> tuple[float, float]:
    """Width and height of a rectangle, the two radii of an ellipse; negative if inverted."""
    x1, y1, x2, y2 = shape.points
    return (x2 - x1, y1 - y2) if shape.type == "ellipse" else (x2 - x1, y2 - y1)


def _is_rotated(shape: Detection) -> bool:
    return bool(shape.rotation % 180)


def _upright(shape: Detection) -> Detection:
    width, height = _extent(shape)
    if width >= 0 and height >= 0:
        return shape
    x1, y1, x2, y2 = shape.points
    if shape.type == "ellipse":
        return evolve(shape, points=(x1, y1, x1 + abs(width), y1 - abs(height)))
    return evolve(shape, points=(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))


def _clamp(shape: Detection, size: ImageSize) -> Detection:
    """Move what is outside to the border; a keypoint marked outside has no place to correct."""
    if shape.outside:
        return shape
    limits = (size.width, size.height)
    points = tuple(
        min(max(value, 0), limits[index % 2]) for index, value in enumerate(shape.points)
    )
    return shape if points == shape.points else evolve(shape, points=points)


def _on_a_line(points: Sequence[float]) -> bool:
    """Whether all corners lie on one line: the area of a figure of eight is zero, too."""
    corners = list(zip(points[::2], points[1::2], strict=True))
    x, y = corners[0]
    other = next((corner for corner in corners if corner != (x, y)), None)
    if other is None:
        return True
    across, down = other[0] - x, other[1] - y
    return all(across * (b - y) == down * (a - x) for a, b in corners)


def _clip_polygon(polygon: Detection, size: ImageSize) -> Detection | None:
    """Sutherland and Hodgman (1974): cut along one border of the image after the other.

    Where this leaves several pieces, they stay connected along the border: still one polygon.
    """
    corners = list(zip(polygon.points[::2], polygon.points[1::2], strict=True))
    for axis, limit, sign in ((0, 0, 1), (0, size.width, -1), (1, 0, 1), (1, size.height, -1)):
        corners = _cut(corners, axis, limit, sign)
    kept = [
        corner
        for corner, before in zip(corners, corners[-1:] + corners, strict=False)
        if corner != before
    ]
    points = tuple(value for corner in kept for value in corner)
    if len(kept) < 3 or _on_a_line(points):
        return None
    return evolve(polygon, points=points)


def _cut(
    corners: list[tuple[float, float]], axis: int, limit: float, sign: int
) -> list[tuple[float, float]]:
    """The part of a polygon where `sign * (coordinate - limit)` is not negative."""
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
