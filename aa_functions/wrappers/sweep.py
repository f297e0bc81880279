"""Group boxes that overlap, the most confident first.

Boxes are sorted along one axis, in classes of similar length, so that only near ones are compared.
Time grows with the number of boxes and of overlapping pairs. Memory has a limit (MAX_PAIRS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

MAX_PAIRS = 500_000
"""Pairs of boxes that are compared at a time: about 50 MB."""
_FIRST_TOPS = 64
_MAX_CLASS = 40
"""Boxes longer than 2**40 or shorter than 2**-40 pixels share a class."""

Metric = Literal["smaller", "union"]
"""What the intersection of two shapes is divided by: the smaller area, or that of the union."""


def greedy_groups(
    bounds: np.ndarray,
    areas: np.ndarray,
    scores: np.ndarray,
    *,
    threshold: float,
    metric: Metric,
    intersection: Callable[[int, int], float] | None = None,
) -> list[list[int]]:
    """Group shapes: each most confident one takes those that overlap it, and so on with the rest.

    Args:
        bounds: (n, 4): left, top, right, bottom of each shape.
        areas: (n,): area of each shape.
        scores: (n,): of equal scores, the earlier shape comes first.
        threshold: Minimum overlap with the most confident shape of the group, above 0.
        metric: What overlap is.
        intersection: Returns the area that two shapes share, by index. None: that of their bounds.

    Returns:
        Lists of indices; the most confident one is first, and the groups are in order of it.

    >>> boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10]], dtype=float)
    >>> greedy_groups(boxes, np.full(3, 100.0), np.array([0.5, 0.9, 0.7]),
    ...               threshold=0.5, metric="smaller")
    [[1, 0], [2]]
    """
    order = np.argsort(-scores, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    free = np.ones(len(order), dtype=bool)
    index = _SortedBoxes(bounds)
    groups: list[list[int]] = []
    at, size = 0, _FIRST_TOPS
    while at < len(order):
        tops = order[at : at + size]
        windows = index.windows(tops)
        fitting = int(np.searchsorted(np.cumsum(windows.counts), MAX_PAIRS, side="right"))
        count = min(max(1, fitting), len(tops))
        at, size = at + count, min(2 * size, 8 * _FIRST_TOPS)
        first, second = windows.pairs(tops, np.flatnonzero(free[tops[:count]]))
        wanted = free[second] & (rank[second] > rank[first])
        first, second = first[wanted], second[wanted]
        enough = _overlap(bounds, areas, first, second, metric) >= threshold
        first, second = first[enough], second[enough]
        for top, others in _by_top(tops[:count], first, second, rank):
            if not free[top]:
                continue
            free[top] = False
            taken = [int(other) for other in others if free[other]]
            if intersection is not None:
                taken = [
                    other
                    for other in taken
                    if _share(intersection(top, other), areas[top], areas[other], metric)
                    >= threshold
                ]
            free[taken] = False
            groups.append([top, *taken])
    return groups


def _overlap(
    bounds: np.ndarray, areas: np.ndarray, first: np.ndarray, second: np.ndarray, metric: Metric
) -> np.ndarray:
    """Return the overlap of pairs, as if the shapes filled their bounds where they meet."""
    low = np.maximum(bounds[first, :2], bounds[second, :2])
    high = np.minimum(bounds[first, 2:], bounds[second, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    shares: np.ndarray = _share(shared, areas[first], areas[second], metric)
    return shares


def _share(shared: np.ndarray | float, one: np.ndarray, other: np.ndarray, metric: Metric) -> Any:
    # Shapes share at most the smaller area, which their bounds may exceed.
    shared = np.minimum(shared, np.minimum(one, other))
    whole = np.minimum(one, other) if metric == "smaller" else one + other - shared
    return shared / np.maximum(whole, np.finfo(float).tiny)


def _by_top(
    tops: np.ndarray, first: np.ndarray, second: np.ndarray, rank: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each of the tops with the others of its pairs, both by falling score."""
    by_rank = np.lexsort((rank[second], rank[first]))
    second, ranks = second[by_rank], rank[first][by_rank]
    starts = np.searchsorted(ranks, rank[tops], side="left")
    ends = np.searchsorted(ranks, rank[tops], side="right")
    for top, start, end in zip(tops.tolist(), starts.tolist(), ends.tolist(), strict=True):
        yield top, second[start:end]


class _SortedBoxes:
    """Boxes by length, and those of similar length by where they begin."""

    def __init__(self, bounds: np.ndarray) -> None:
        lengths = bounds[:, 2:] - bounds[:, :2]
        extent = np.ptp(bounds.reshape(-1, 2, 2), axis=(0, 1)) if len(bounds) else np.ones(2)
        # Along the axis on which a box meets fewer others.
        axis = int(np.argmin(lengths.sum(axis=0) / np.maximum(extent, 1e-9)))
        self._starts, self._ends = bounds[:, axis], bounds[:, axis + 2]
        _, exponents = np.frexp(lengths[:, axis])
        classes = np.clip(exponents, -_MAX_CLASS, _MAX_CLASS)
        self._classes = []
        for one in np.unique(classes):
            members = np.flatnonzero(classes == one)
            members = members[np.argsort(self._starts[members], kind="stable")]
            longest = float(lengths[members, axis].max())
            self._classes.append((members, self._starts[members], longest))

    def windows(self, tops: np.ndarray) -> _Windows:
        """Return where the boxes that can meet these boxes are in each class."""
        found = [
            (
                members,
                np.searchsorted(starts, self._starts[tops] - longest, side="left"),
                np.searchsorted(starts, self._ends[tops], side="right"),
            )
            for members, starts, longest in self._classes
        ]
        return _Windows(found, len(tops))


class _Windows:
    """For each of some boxes, ranges of the boxes that can meet it."""

    def __init__(
        self, classes: list[tuple[np.ndarray, np.ndarray, np.ndarray]], count: int
    ) -> None:
        self._classes = classes
        self.counts = np.zeros(count, dtype=np.int64)
        """Number of candidates of each box."""
        for _, low, high in classes:
            self.counts += high - low

    def pairs(self, tops: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of the boxes at these positions, as two arrays of indices."""
        first: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        second: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        for members, low, high in self._classes:
            counts = (high - low)[chosen]
            begins = np.repeat(low[chosen] - np.cumsum(counts) + counts, counts)
            first.append(np.repeat(tops[chosen], counts))
            second.append(members[begins + np.arange(len(begins))])
        return np.concatenate(first), np.concatenate(second)
