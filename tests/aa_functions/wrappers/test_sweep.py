"""Grouping boxes: equal to comparing each with each, in bounded time and memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aa_functions.wrappers import sweep
from aa_functions.wrappers.sweep import greedy_groups

BOX = st.tuples(
    *[st.integers(0, 60)] * 2, *[st.sampled_from([0, 1, 2, 5, 9, 20, 64])] * 2, st.integers(0, 5)
)
METRICS = st.sampled_from(["smaller", "union"])


def each_with_each(
    boxes: list[list[float]], scores: list[float], threshold: float, metric: str
) -> list[list[int]]:
    left = sorted(range(len(boxes)), key=lambda n: -scores[n])
    groups = []
    while left:
        top = left[0]
        group = [n for n in left if n == top or overlap(boxes[top], boxes[n], metric) >= threshold]
        left = [n for n in left if n not in group]
        groups.append(group)
    return groups


def overlap(one: list[float], other: list[float], metric: str) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    whole = min(areas) if metric == "smaller" else sum(areas) - shared
    return shared / whole if whole else 0.0


@given(st.lists(BOX, max_size=60), METRICS, st.sampled_from([0.1, 0.5, 1.0]), st.booleans())
def test_equal_to_comparing_each_with_each(rows, metric, threshold, few_pairs):
    boxes = [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h, _ in rows]
    scores = [score / 5 for *_, score in rows]
    areas = np.array([(b[2] - b[0]) * (b[3] - b[1]) for b in boxes], dtype=float)
    with pytest.MonkeyPatch.context() as patch:
        if few_pairs:
            patch.setattr(sweep, "MAX_PAIRS", 7)
        found = greedy_groups(
            np.array(boxes, dtype=float).reshape(-1, 4),
            areas,
            np.array(scores, dtype=float),
            threshold=threshold,
            metric=metric,
        )
    assert found == each_with_each(boxes, scores, threshold, metric)


@pytest.mark.parametrize(
    ("width", "height"),
    [(4000, 3000), (300, 200), (30, 100_000), (100_000, 30), (0, 0)],
    ids=["spread", "dense", "a column", "a row", "one place"],
)
def test_twenty_thousand_boxes_need_little_memory(width, height):
    random = np.random.default_rng(1)
    corners = random.uniform(0, 1, (20_000, 2)) * (width, height)
    sizes = np.exp(random.uniform(0, 5, (20_000, 2)))
    bounds = np.concatenate([corners, corners + sizes], axis=1)
    tracemalloc.start()
    try:
        groups = greedy_groups(
            bounds,
            np.prod(sizes, axis=1),
            random.uniform(0, 1, 20_000),
            threshold=0.5,
            metric="smaller",
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sorted(n for group in groups for n in group) == list(range(20_000))
    assert peak < 200e6  # all pairs as bytes would be 400 MB


def test_the_number_of_comparisons_is_not_that_of_all_pairs(monkeypatch):
    compared = 0
    plain = sweep._overlap

    def counting(bounds, areas, first, second, metric):
        nonlocal compared
        compared += len(first)
        return plain(bounds, areas, first, second, metric)

    monkeypatch.setattr(sweep, "_overlap", counting)
    counts = []
    for number in (2_500, 10_000):
        compared = 0
        random = np.random.default_rng(2)
        side = 100 * number**0.5  # as dense whatever the number
        corners = random.uniform(0, side, (number, 2))
        bounds = np.concatenate([corners, corners + 40], axis=1)
        areas = np.full(number, 1600.0)
        greedy_groups(bounds, areas, areas, threshold=0.5, metric="smaller")
        counts.append(compared)
    # A strip holds as many boxes as the root of their number: 4 ** 1.5 is 8, all pairs are 16.
    assert counts[1] < 10 * counts[0]
