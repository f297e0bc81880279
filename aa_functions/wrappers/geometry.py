"""Areas, intersections and unions of rotated rectangles, polygons and masks, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import field, frozen

from aa_functions.outlines import mask_to_polygons

_FINE = 128
"""Cells along the longer side in which a smaller polygon is drawn, to measure what it shares."""
_UNION_CELLS = 1024
"""Cells along the longer side of a union of polygons, unless it is larger than that."""
_MAX_SCALE = 8
"""Most cells of a pixel, along a side."""


def corners_of(points: Sequence[float], rotation: float) -> np.ndarray:
    """Return the corners (4, 2) of a rectangle that is turned clockwise around its centre.

    Args:
        points: Left, top, right, bottom before the rotation.
        rotation: Degrees.
    """
    left, top, right, bottom = points
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)
    return (corners - centre) @ _turn(rotation) + centre if rotation else corners


def enclosing_rectangle(corners: np.ndarray, rotation: float) -> list[float]:
    """Return the smallest rectangle of a rotation that holds all points, as left, top, right and
    bottom before the rotation."""
    if not rotation:
        return [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]
    turned = corners @ _turn(-rotation)
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre, half = (low + high) / 2 @ _turn(rotation), (high - low) / 2
    return [round(value, 6) for value in (*(centre - half).tolist(), *(centre + half).tolist())]


def _turn(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def area_of(points: np.ndarray) -> float:
    """Return the area of a polygon (n, 2) that does not cross itself."""
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def convex_intersection(one: np.ndarray, other: np.ndarray) -> float:
    """Return the area that two convex polygons (n, 2) share. Both turn in the same direction."""
    points: list[tuple[float, float]] = [(float(x), float(y)) for x, y in one]
    edges = [(float(x), float(y)) for x, y in other]
    for (x1, y1), (x2, y2) in zip(edges, [*edges[1:], edges[0]], strict=True):
        sides = [(x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) for x, y in points]
        kept: list[tuple[float, float]] = []
        for at, (point, side) in enumerate(zip(points, sides, strict=True)):
            before, before_side = points[at - 1], sides[at - 1]
            if (side >= 0) != (before_side >= 0):
                share = before_side / (before_side - side)
                x, y = (b + share * (p - b) for b, p in zip(before, point, strict=True))
                kept.append((x, y))
            if side >= 0:
                kept.append(point)
        points = kept
    return area_of(np.array(points)) if len(points) > 2 else 0.0


@frozen(kw_only=True, eq=False)
class Bitmap:
    """Pixels of an image that belong to a shape."""

    left: int
    top: int
    pixels: np.ndarray = field(repr=False)
    """(height, width), bool. The first one is at `left`, `top`."""

    @classmethod
    def of_mask(cls, points: Sequence[float]) -> Bitmap:
        """Read the points of a CVAT mask: lengths of runs, then left, top, right, bottom."""
        left, top, right, bottom = (int(value) for value in points[-4:])
        runs = np.asarray(points[:-4], dtype=np.int64)
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return cls(left=left, top=top, pixels=pixels.reshape(bottom - top + 1, right - left + 1))

    def shared(self, other: Bitmap) -> int:
        """Return the number of pixels that belong to both."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.pixels.shape[1], other.left + other.pixels.shape[1])
        bottom = min(self.top + self.pixels.shape[0], other.top + other.pixels.shape[0])
        if left >= right or top >= bottom:
            return 0
        parts = [
            one.pixels[top - one.top : bottom - one.top, left - one.left : right - one.left]
            for one in (self, other)
        ]
        return int(np.count_nonzero(parts[0] & parts[1]))


def union_of(bitmaps: Sequence[Bitmap]) -> Bitmap:
    """Return the pixels that belong to at least one of the bitmaps."""
    left, top = min(one.left for one in bitmaps), min(one.top for one in bitmaps)
    right = max(one.left + one.pixels.shape[1] for one in bitmaps)
    bottom = max(one.top + one.pixels.shape[0] for one in bitmaps)
    pixels = np.zeros((bottom - top, right - left), dtype=bool)
    for one in bitmaps:
        height, width = one.pixels.shape
        pixels[one.top - top : one.top - top + height, one.left - left :][:, :width] |= one.pixels
    return Bitmap(left=left, top=top, pixels=pixels)


def polygon_intersection(one: np.ndarray, other: np.ndarray) -> float:
    """Return the area that two polygons (n, 2) share, by drawing both in small cells.

    The cells are so small that the smaller polygon has 128 of them along its longer side.
    """
    low = np.maximum(one.min(axis=0), other.min(axis=0))
    high = np.minimum(one.max(axis=0), other.max(axis=0))
    if (high <= low).any():
        return 0.0
    side = min(np.ptp(points, axis=0).max() for points in (one, other))
    scale = _FINE / float(side)
    columns, rows = (int(cells) for cells in np.ceil((high - low) * scale))
    drawn = [fill(points, low, scale=scale, size=(columns, rows)) for points in (one, other)]
    return float(np.count_nonzero(drawn[0] & drawn[1])) / scale**2


def fill(
    points: np.ndarray, origin: np.ndarray, *, scale: float, size: tuple[int, int]
) -> np.ndarray:
    """Draw a polygon in cells, by the even-odd rule. A cell is drawn if its centre is inside.

    Args:
        points: (n, 2), in pixels.
        origin: Where the first cell begins, in pixels.
        scale: Cells of a pixel, along a side.
        size: Columns and rows of cells.

    Returns:
        (rows, columns), bool.
    """
    columns, rows = size
    x1, y1 = ((points - origin) * scale).T
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    # An edge crosses the rows whose centres are between its ends.
    first = np.clip(np.ceil(np.minimum(y1, y2) - 0.5), 0, rows).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y1, y2) - 0.5), 0, rows).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(points)), counts)
    row = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
    slope = (x2[edge] - x1[edge]) / (y2[edge] - y1[edge])
    x = x1[edge] + (row + 0.5 - y1[edge]) * slope
    column = np.clip(np.ceil(x - 0.5), 0, columns).astype(np.int64)
    toggles = np.bincount(row * (columns + 1) + column, minlength=rows * (columns + 1))
    crossed = np.cumsum(toggles.reshape(rows, columns + 1), axis=1)[:, :columns]
    filled: np.ndarray = crossed % 2 == 1
    return filled


def polygon_union(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Return the outline (n, 2) of polygons that overlap, within about one pixel of theirs.

    Sharp tips become a little shorter. If one of the polygons holds the others, it is returned
    unchanged. Holes are filled. Of several islands the largest stays.
    """
    everything = np.concatenate(list(polygons))
    low, high = np.floor(everything.min(axis=0)), np.ceil(everything.max(axis=0))
    longest = max(1.0, float((high - low).max()))
    scale = min(_MAX_SCALE, max(1, round(_UNION_CELLS / longest)))
    columns, rows = (max(1, int(cells)) for cells in (high - low) * scale)
    drawn = [fill(points, low, scale=scale, size=(columns, rows)) for points in polygons]
    union = np.logical_or.reduce(drawn)
    for points, cells in zip(polygons, drawn, strict=True):
        if np.array_equal(cells, union):
            return points
    border: np.ndarray = mask_to_polygons(union)[0] / scale + low
    return border
