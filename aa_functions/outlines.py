"""Convert masks to polygons, without any library but numpy.

The rule: each island of a mask becomes one polygon, a hole is filled, and so is what lies in it.
Pixels that touch at a corner are one island. Islands of less than 1 % of the largest are left out.
A polygon runs along the edges of pixels, so that its area before it is simplified is the number of
pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

TOLERANCE = 1.0
"""Pixels by which a simplified outline may differ from the edges of the pixels."""
SMALLEST_ISLAND = 0.01
"""Share of the largest island's area. Smaller islands are left out: they are noise."""

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
"""Right, down, left, up: with the island on the right hand side of each edge."""

Outline = NDArray[np.float64]


def mask_to_polygons(bitmap: ArrayLike, tolerance: float = TOLERANCE) -> list[Outline]:
    """Return the outlines of a mask's islands.

    Args:
        bitmap: Boolean array of shape (H, W).
        tolerance: Corners are left out while the outline moves by at most so many pixels.

    Returns:
        Arrays of shape (N, 2) with x and y of the corners in pixels, N at least 3, clockwise, the
        largest first.

    >>> mask_to_polygons([[False, True, True], [False, True, True]])[0].tolist()
    [[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]]
    """
    pixels: NDArray[np.bool_] = np.asarray(bitmap, dtype=bool)
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return []
    offset = np.array([columns[0], rows[0]], dtype=np.float64)
    part = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cycles = sorted(_trace(part), key=_area, reverse=True)
    smallest = SMALLEST_ISLAND * _area(cycles[0])
    holes = [cycle for cycle in cycles if _area(cycle) < 0]
    return [
        _simplified(_corners(cycle), tolerance) + offset
        for cycle in cycles
        if _area(cycle) >= smallest and not any(_is_inside(cycle[0], hole) for hole in holes)
    ]


def _trace(bitmap: NDArray[np.bool_]) -> list[Outline]:
    """Return closed walks along the edges between set pixels and others."""
    padded = np.pad(bitmap, 1)
    inner = padded[1:-1, 1:-1]
    beside = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    begins = ((0, 0), (1, 0), (1, 1), (0, 1))
    height, width = bitmap.shape
    # leaves[d, y, x]: whether an edge in direction d begins at this corner of the grid.
    leaves = np.zeros((4, height + 1, width + 1), dtype=bool)
    for number, (other, (right, down)) in enumerate(zip(beside, begins, strict=True)):
        leaves[number, down : down + height, right : right + width] = inner & ~other
    edges = np.flatnonzero(leaves)
    direction, y, x = (np.asarray(index) for index in np.unravel_index(edges, leaves.shape))
    end = (y + _STEPS[direction, 1]) * (width + 1) + x + _STEPS[direction, 0]
    following = np.zeros(len(edges), dtype=np.int64)
    # A turn to the left passes on to the other pixel where two touch at a corner.
    for turn in (1, 0, -1):
        wanted = (direction + turn) % 4 * ((height + 1) * (width + 1)) + end
        there = leaves.ravel()[wanted]
        following[there] = np.searchsorted(edges, wanted[there])
    nexts = following.tolist()
    points = np.stack([x, y], axis=1).astype(np.float64)
    is_done = bytearray(len(nexts))
    cycles = []
    for first in range(len(nexts)):
        if is_done[first]:
            continue
        walk, edge = [], first
        while not is_done[edge]:
            is_done[edge] = 1
            walk.append(edge)
            edge = nexts[edge]
        cycles.append(points[walk])
    return cycles


def _corners(cycle: Outline) -> Outline:
    """Leave out points between two edges of the same direction."""
    before, after = cycle - np.roll(cycle, 1, axis=0), np.roll(cycle, -1, axis=0) - cycle
    turns: Outline = cycle[(before != after).any(axis=1)]
    return turns


def _area(cycle: Outline) -> float:
    """Return the area, negative if the cycle runs around a hole."""
    x, y = cycle.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _is_inside(corner: Outline, cycle: Outline) -> bool:
    """Return whether the pixel to the lower right of a corner lies in a cycle."""
    x, y = corner + 0.5
    other = np.roll(cycle, -1, axis=0)
    low, high = np.minimum(cycle[:, 1], other[:, 1]), np.maximum(cycle[:, 1], other[:, 1])
    return bool(((cycle[:, 0] < x) & (low < y) & (y < high)).sum() % 2)


def _simplified(cycle: Outline, tolerance: float) -> Outline:
    """Leave out corners (Douglas and Peucker, 1973), at least three are kept."""
    far = int(((cycle - cycle[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([cycle, cycle[:1]])
    keep = np.zeros(len(closed), dtype=bool)
    keep[[0, far]] = True
    parts = [(0, far), (far, len(cycle))]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        begin, along = closed[first], closed[last] - closed[first]
        between = closed[first + 1 : last] - begin
        # Distance from the piece of line, not from the whole line: an outline can turn back.
        length = float(along @ along) or 1.0
        share = np.clip(between @ along / length, 0, 1)
        distances = ((between - share[:, None] * along) ** 2).sum(axis=1)
        middle = int(distances.argmax())
        if distances[middle] > tolerance**2:
            middle += first + 1
            keep[middle] = True
            parts += [(first, middle), (middle, last)]
    kept: Outline = cycle[keep[:-1]]
    return kept if len(kept) >= 3 and _area(kept) > 0 else cycle
