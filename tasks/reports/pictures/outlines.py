"""Convert shapes to lines and dots for pictures, whatever the function returned.

Shapes at fault are drawn, too, so nothing is assumed about the values: those that are not finite
numbers are left out, and a shape with very many points is thinned out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

from attrs import evolve, frozen

from cvat_flows.tasks.model.annotations import TAG, Annotation, Detection
from cvat_flows.tasks.model.labels import SKELETON

Point = tuple[float, float]
Part = tuple[Point, ...]
"""One point is a dot, two are a line, more are a polygon (closed unless the shape is open)."""

MAX_POINTS = 400
"""Points of one part: more are not visible on a small picture."""
MAX_MASK_LINES = 48
_MAX_COORDINATE = 1e6
"""Pixels. Points further away are moved here."""


@frozen(kw_only=True)
class Outline:
    """One shape, in pixels of the original image."""

    label: str
    score: float | None = None
    parts: tuple[Part, ...]
    open: bool = False
    at_fault: bool = False

    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom."""
        xs = [x for part in self.parts for x, _ in part]
        ys = [y for part in self.parts for _, y in part]
        return min(xs), min(ys), max(xs), max(ys)


def outline_of(shape: Detection | Annotation, label: str) -> Outline | None:
    """Return the outline of a shape, or None for a tag and for a shape without valid points."""
    parts = tuple(part for part in _parts(shape) if part)
    if not parts:
        return None
    score = shape.score
    return Outline(
        label=label,
        score=float(score) if isinstance(score, int | float) and math.isfinite(score) else None,
        parts=parts,
        open=shape.type == "polyline",
    )


def outlines_of(
    shapes: Iterable[tuple[Detection | Annotation, str]], *, at_fault: int | None = None
) -> list[Outline]:
    """Return the outlines of shapes with their labels. `at_fault` is the index of a bad shape."""
    found = []
    for index, (shape, label) in enumerate(shapes):
        outline = outline_of(shape, label)
        if outline is not None:
            found.append(evolve(outline, at_fault=index == at_fault))
    return found


def _parts(shape: Detection | Annotation) -> list[Part]:
    if shape.type == TAG:
        return []
    if shape.type == SKELETON:
        return _skeleton(shape)
    if shape.type == "mask":
        return _mask(shape.points)
    points = _points(shape.points)
    rotation = _finite(shape.rotation) or 0.0
    if shape.type == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
        return [_rotate(corners, ((x1 + x2) / 2, (y1 + y2) / 2), rotation)]
    if shape.type == "ellipse" and len(points) == 2:
        # In CVAT an ellipse is its centre, then its rightmost x and its topmost y.
        (x, y), (right, top) = points
        angles = [math.tau * n / 32 for n in range(32)]
        around = tuple((x + (right - x) * math.cos(a), y + (top - y) * math.sin(a)) for a in angles)
        return [_rotate(around, (x, y), rotation)]
    if shape.type == "cuboid" and len(points) == 8:
        uprights = [(points[n], points[n + 1]) for n in range(0, 8, 2)]
        return [*uprights, tuple(points[::2]), tuple(points[1::2])]
    if shape.type == "points":
        return [(point,) for point in points[:MAX_POINTS]]
    return [_thin_out(points)]


def _skeleton(shape: Detection | Annotation) -> list[Part]:
    dots = [
        point
        for element in shape.elements
        if not element.outside
        for point in _points(element.points)
    ][:MAX_POINTS]
    if not dots:
        return []
    left, right = min(x for x, _ in dots), max(x for x, _ in dots)
    top, bottom = min(y for _, y in dots), max(y for _, y in dots)
    frame: Part = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [frame, *((dot,) for dot in dots)]


def _mask(points: Sequence[object]) -> list[Part]:
    """Return the mask's box and lines through the mask.

    A mask is run lengths, beginning with a gap, then left, top, right and bottom, inclusive.
    """
    numbers = [_finite(value) for value in points]
    if len(numbers) < 5 or any(number is None for number in numbers):
        return []
    *runs, left, top, right, bottom = (number for number in numbers if number is not None)
    width, height = right - left + 1, bottom - top + 1
    if width < 1 or height < 1:
        return []
    box: Part = (
        (left, top),
        (right + 1, top),
        (right + 1, bottom + 1),
        (left, bottom + 1),
    )
    step = max(1, math.ceil(height / MAX_MASK_LINES))
    lines: list[Part] = []
    ends = list(accumulate(runs))
    for begin, end in zip(ends[::2], ends[1::2], strict=False):
        # A run can cover several rows; it gets a line in each.
        for row in range(int(begin // width), min(int((end - 1) // width), int(height)) + 1):
            if row % step:
                continue
            first, last = max(begin, row * width), min(end, (row + 1) * width)
            y = top + row + 0.5
            lines.append(
                ((left + first - row * width, y), (left + last - row * width, y)),
            )
            if len(lines) >= MAX_POINTS:
                return [box, *lines]
    return [box, *lines]


def _points(values: Sequence[object]) -> list[Point]:
    numbers = [_finite(value) for value in values]
    pairs = zip(numbers[::2], numbers[1::2], strict=False)
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return max(-_MAX_COORDINATE, min(_MAX_COORDINATE, number)) if math.isfinite(number) else None


def _rotate(points: Part, centre: Point, degrees: float) -> Part:
    if not degrees % 360:
        return points
    x, y = centre
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return tuple(
        (x + (a - x) * cos - (b - y) * sin, y + (a - x) * sin + (b - y) * cos) for a, b in points
    )


def _thin_out(points: list[Point]) -> Part:
    step = math.ceil(len(points) / MAX_POINTS) or 1
    return tuple(points[::step])
