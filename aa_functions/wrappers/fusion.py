"""Fuse boxes of several functions: weighted boxes fusion (Solovyev, Wang, Gabruseva 2021).

Boxes are taken by falling weighted score. Each joins the cluster whose fused box it overlaps most,
if by more than a threshold, or begins one. The fused box of a cluster is the mean of its boxes,
weighted by their weighted scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from attrs import define, field

Cell = tuple[int, int, int]


@define(eq=False)
class Cluster:
    """Boxes of one object."""

    number: int
    members: list[int] = field(factory=list)
    """Indices of the boxes. The one with the highest weighted score is first."""
    box: list[float] = field(factory=lambda: [0.0] * 4)
    """Left, top, right, bottom: the mean of the boxes."""
    cell: Cell = (0, 0, 0)
    _weight: float = 0.0

    def add(self, index: int, box: list[float], weight: float) -> None:
        """Add a box and renew the mean."""
        self.members.append(index)
        total = self._weight + weight
        self.box = [
            (mean * self._weight + value * weight) / total
            for mean, value in zip(self.box, box, strict=True)
        ]
        self._weight = total


def fuse_boxes(boxes: np.ndarray, weights: np.ndarray, *, threshold: float) -> list[Cluster]:
    """Cluster boxes and return the clusters in the order in which they were begun.

    Args:
        boxes: (n, 4): left, top, right, bottom.
        weights: (n,): score of each box times the weight of its function. Of equal ones, the
            earlier box comes first.
        threshold: Intersection over union, 0 to 1, above which a box joins a cluster.

    >>> boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]], dtype=float)
    >>> [(one.members, one.box) for one in fuse_boxes(boxes, np.array([0.6, 0.2, 0.9]),
    ...                                               threshold=0.5)]
    [([2], [50.0, 50.0, 60.0, 60.0]), ([0, 1], [0.5, 0.0, 10.5, 10.0])]
    """
    clusters: list[Cluster] = []
    grid = _Grid(threshold)
    rows = boxes.tolist()
    for index in np.argsort(-weights, kind="stable").tolist():
        box = rows[index]
        best, best_overlap = None, threshold
        for one in grid.near(box):
            overlap = _overlap(box, one.box)
            # Of equal ones the older cluster, whatever the order in which the cells are searched.
            if overlap > best_overlap or (
                best is not None and overlap == best_overlap and one.number < best.number
            ):
                best, best_overlap = one, overlap
        if best is None:
            best = Cluster(number=len(clusters))
            clusters.append(best)
        else:
            grid.remove(best)
        # A score of 0 still counts a little: a mean of nothing is not a box.
        best.add(index, box, max(float(weights[index]), 1e-9))
        grid.add(best)
    return clusters


def _overlap(one: list[float], other: list[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


class _Grid:
    """Clusters by size and by the place of their centre, so that only near ones are compared."""

    def __init__(self, threshold: float) -> None:
        # Boxes with an overlap of t have lengths that differ at most by the factor 1/t.
        self._levels = math.ceil(-math.log2(max(threshold, 0.01)))
        self._cells: dict[Cell, dict[int, Cluster]] = {}
        self._counts: dict[int, int] = {}
        """Number of clusters by level."""

    def add(self, cluster: Cluster) -> None:
        """Add a cluster at the place of its box."""
        level = _level(cluster.box)
        x, y = _centre(cluster.box)
        side = 2.0**level
        cluster.cell = (level, math.floor(x / side), math.floor(y / side))
        self._cells.setdefault(cluster.cell, {})[cluster.number] = cluster
        self._counts[level] = self._counts.get(level, 0) + 1

    def remove(self, cluster: Cluster) -> None:
        """Remove a cluster before its box changes."""
        del self._cells[cluster.cell][cluster.number]
        self._counts[cluster.cell[0]] -= 1

    def near(self, box: list[float]) -> Iterator[Cluster]:
        """Yield the clusters that a box can overlap by the threshold, and some others."""
        own = _level(box)
        x, y = _centre(box)
        for level in range(own - self._levels - 1, own + self._levels + 2):
            if not self._counts.get(level):
                continue
            side = 2.0**level
            reach = (2.0**own + side) / 2
            for column in range(math.floor((x - reach) / side), math.floor((x + reach) / side) + 1):
                for row in range(
                    math.floor((y - reach) / side), math.floor((y + reach) / side) + 1
                ):
                    yield from self._cells.get((level, column, row), {}).values()


def _level(box: list[float]) -> int:
    """Return the least n for which 2**n pixels are longer than both sides."""
    return math.frexp(max(box[2] - box[0], box[3] - box[1], 1e-3))[1]


def _centre(box: list[float]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
