"""Weighted boxes fusion against a plain implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aa_functions.wrappers.fusion import fuse_boxes

BOX = st.tuples(
    *[st.integers(0, 40)] * 2, *[st.sampled_from([3, 8, 10, 11, 30, 90])] * 2, st.integers(0, 9)
)


def fuse_plainly(
    boxes: list[list[float]], weights: list[float], threshold: float
) -> list[tuple[list[int], list[float]]]:
    clusters: list[list[int]] = []
    fused: list[list[float]] = []
    for index in sorted(range(len(boxes)), key=lambda n: -weights[n]):
        overlaps = [overlap(boxes[index], box) for box in fused]
        best = max(range(len(fused)), key=lambda n: overlaps[n], default=None)
        if best is None or overlaps[best] <= threshold:
            clusters.append([])
            fused.append([])
            best = len(fused) - 1
        clusters[best].append(index)
        shares = np.maximum([weights[n] for n in clusters[best]], 1e-9)
        rows = np.array([boxes[n] for n in clusters[best]])
        fused[best] = (rows * shares[:, None]).sum(axis=0).__truediv__(shares.sum()).tolist()
    return list(zip(clusters, fused, strict=True))


def overlap(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


@given(st.lists(BOX, max_size=40), st.sampled_from([0.07, 0.31, 0.5501, 0.9]))
def test_equal_to_a_plain_implementation(rows, threshold):
    boxes = [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h, _ in rows]
    weights = [weight / 9 for *_, weight in rows]
    found = fuse_boxes(
        np.array(boxes).reshape(-1, 4), np.array(weights, dtype=float), threshold=threshold
    )
    wanted = fuse_plainly(boxes, weights, threshold)
    assert [one.members for one in found] == [members for members, _ in wanted]
    for one, (_, box) in zip(found, wanted, strict=True):
        assert one.box == pytest.approx(box)


def test_only_near_boxes_are_compared(monkeypatch):
    from aa_functions.wrappers import fusion

    compared = 0
    plain = fusion._overlap

    def counting(one, other):
        nonlocal compared
        compared += 1
        return plain(one, other)

    monkeypatch.setattr(fusion, "_overlap", counting)
    corners = np.random.default_rng(1).uniform(0, 20_000, (10_000, 2))
    boxes = np.concatenate([corners, corners + 40], axis=1)
    assert len(fuse_boxes(boxes, np.full(10_000, 0.5), threshold=0.55)) > 9_000
    assert compared < 10 * 10_000
