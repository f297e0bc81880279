"""What the shapes of one object become, and what stays apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cvat_sdk import models
from hypothesis import given
from hypothesis import strategies as st

from aa_functions import (
    decode_mask,
    encode_mask,
    keypoint,
    mask,
    polygon,
    rectangle,
    shape,
    skeleton,
    tag,
)
from aa_functions.wrappers.found import Found
from aa_functions.wrappers.merge import merge
from tests.aa_functions.wrappers.test_sweep import each_with_each


def merged(*rows: tuple[Any, int, int], threshold: float = 0.5) -> list[Any]:
    return merge(
        [Found(item=item, dx=dx, dy=dy, source=n) for n, (item, dx, dy) in enumerate(rows)],
        threshold=threshold,
    )


def test_boxes_of_one_object_become_the_box_around_them():
    value = models.AttributeValRequest(spec_id=4, value="red")
    first = rectangle(1, [90, 10, 100, 30], score=0.6, occluded=True)
    second = rectangle(1, [0, 10, 20, 30], score=0.9, attributes=[value], z_order=2)
    (box,) = merged((first, 0, 0), (second, 80, 0))
    assert box.points == [80, 10, 100, 30]
    assert (box.score, box.attributes, box.z_order) == (0.9, [value], 2)
    assert "occluded" not in box
    assert first.points == [90, 10, 100, 30]  # what the function returned is unchanged
    assert second.points == [0, 10, 20, 30]


def test_the_pieces_of_an_object_that_is_larger_than_a_tile_are_one():
    whole = rectangle(1, [0, 0, 100, 20], score=0.5)
    pieces = [
        rectangle(1, [left, 0, left + 40, 20], score=0.9 - left / 100) for left in (0, 30, 60)
    ]
    # The first piece takes the whole, and the others share too little with that piece.
    (found,) = merged((whole, 0, 0), *((piece, 0, 0) for piece in pieces))
    assert (found.points, found.score) == ([0, 0, 100, 20], 0.9)
    # A neighbour is no piece.
    near = rectangle(1, [92, 0, 112, 20], score=0.2)
    assert len(merged((whole, 0, 0), (pieces[0], 0, 0), (near, 0, 0))) == 2


def test_labels_types_and_small_overlaps_stay_apart():
    rows = [
        rectangle(1, [0, 0, 10, 10], score=0.5),
        rectangle(2, [0, 0, 10, 10], score=0.6),
        polygon(1, [0, 0, 10, 0, 10, 10, 0, 10], score=0.7),
        rectangle(1, [6, 0, 16, 10], score=0.8),
    ]
    found = merged(*((row, 0, 0) for row in rows))
    assert found == [rows[3], rows[2], rows[1], rows[0]]


def test_a_rotated_rectangle_keeps_the_rotation_of_the_most_confident():
    top = rectangle(1, [10, 20, 50, 30], rotation=90.0, score=0.9)
    other = rectangle(1, [7, 22, 57, 28], rotation=90.0, score=0.4)
    (box,) = merged((top, 0, 0), (other, 0, 0))
    assert box.rotation == 90
    # Turned, they are upright: from 25 to 35 and 5 to 45, and from 29 to 35 and 0 to 50.
    assert box.points == pytest.approx([5, 20, 55, 30])
    crossing = rectangle(1, [10, 20, 50, 30], rotation=0.0, score=0.8)
    assert len(merged((top, 0, 0), (crossing, 0, 0))) == 2


def test_polygons_become_the_outline_of_their_union():
    left = polygon(1, [0, 0, 60, 0, 60, 40, 0, 40], score=0.9)
    right = polygon(1, [0, 10, 60, 10, 60, 30, 0, 30], score=0.5)
    (found,) = merged((left, 0, 0), (right, 20, 0))
    corners = {tuple(corner) for corner in np.array(found.points).reshape(-1, 2).round()}
    assert corners == {
        (0, 0), (60, 0), (60, 10), (80, 10), (80, 30), (60, 30), (60, 40), (0, 40)
    }  # fmt: skip
    (same,) = merged((left, 0, 0), (polygon(1, [5, 5, 20, 5, 20, 20], score=0.3), 0, 0))
    assert same.points == left.points


def test_masks_become_their_union():
    pixels = np.zeros((40, 40), dtype=bool)
    pixels[5:25, 5:30] = True
    one, other = (mask(1, encode_mask(pixels), score=score) for score in (0.3, 0.6))
    (found,) = merged((one, 0, 0), (other, 6, 3))
    wanted = np.zeros((60, 60), dtype=bool)
    wanted[5:25, 5:30] = wanted[8:28, 11:36] = True
    assert np.array_equal(decode_mask(found.points, image_width=60, image_height=60), wanted)
    assert found.score == 0.6
    assert len(merged((one, 0, 0), (other, 20, 12))) == 2


def test_of_other_shapes_the_most_confident_stays():
    def person(score: float, x: float) -> Any:
        elements = [
            keypoint(0, [x, 5]),
            keypoint(1, [x + 20, 25]),
            keypoint(2, [0, 0], outside=True),
        ]
        return skeleton(1, elements, score=score)

    found = merged((person(0.4, 10), 0, 0), (person(0.7, 0), 12, 0), (person(0.5, 100), 0, 0))
    assert [one.score for one in found] == [0.7, 0.5]
    assert [element.points for element in found[0].elements] == [[12, 5], [32, 25], [12, 0]]
    ellipses = [shape(1, type="ellipse", points=[10, 10, 20, 5], score=s) for s in (0.2, 0.3)]
    assert merged((ellipses[0], 0, 0), (ellipses[1], 0, 0)) == [ellipses[1]]


def test_of_the_tags_of_a_label_one_stays():
    found = merged((tag(1, score=0.2), 0, 0), (tag(1, score=0.8), 64, 0), (tag(2), 0, 0))
    assert [(one.label_id, one.get("score")) for one in found] == [(2, None), (1, 0.8)]


def test_groups_of_different_parts_stay_apart():
    rows = [
        rectangle(n, [50 * n, 0, 50 * n + 9, 9], score=0.9 - n / 10, group=group)
        for n, group in enumerate([1, 1, 2, 0])
    ]
    parts = [Found(item=row, source=source) for row, source in zip(rows, [0, 0, 0, 0], strict=True)]
    parts += [Found(item=rectangle(9, [0, 0, 5, 5], score=0.1, group=1), source=1)]
    groups = [one.get("group") for one in merge(parts, threshold=0.5)]
    assert groups == [1, 1, 2, 0, 3]


def test_of_equal_scores_the_larger_counts_more():
    # The first and the last part are cut off by the borders of tiles and share nothing.
    parts = [rectangle(1, [0, 0, right, 9]) for right in (5, 9)]
    found = merged((parts[0], 0, 0), (parts[1], 0, 0), (rectangle(1, [0, 0, 2, 9]), 7, 0))
    assert [one.points for one in found] == [[0, 0, 9, 9]]
    assert "score" not in found[0]


@given(
    st.lists(
        st.tuples(
            *[st.integers(0, 40)] * 2,
            *[st.sampled_from([4, 9, 10, 30])] * 2,
            st.integers(1, 9),
            st.integers(0, 1),
        ),
        max_size=25,
    ),
    st.sampled_from([0.3, 0.5, 0.95]),
)
def test_equal_to_a_plain_implementation(rows, threshold):
    parts = [
        Found(item=rectangle(label, [x, y, x + w, y + h], score=score / 10))
        for x, y, w, h, score, label in rows
    ]
    wanted = []
    for label in (0, 1):
        boxes = [
            ([x, y, x + w, y + h], score / 10) for x, y, w, h, score, own in rows if own == label
        ]
        wanted += [(label, *one) for one in merge_plainly(boxes, threshold)]
    found = [(one.label_id, one.points, one.score) for one in merge(parts, threshold=threshold)]
    assert sorted(found) == sorted(wanted)
    assert [one[2] for one in found] == sorted((one[2] for one in wanted), reverse=True)


def merge_plainly(
    boxes: list[tuple[list[int], float]], threshold: float
) -> list[tuple[list[int], float]]:
    boxes = sorted(boxes, key=lambda one: -(one[0][2] - one[0][0]) * (one[0][3] - one[0][1]))
    while True:
        groups = each_with_each(
            [box for box, _ in boxes], [score for _, score in boxes], threshold, "smaller"
        )
        if len(groups) == len(boxes):
            return boxes
        merged = []
        for group in groups:
            corners = np.array([boxes[n][0] for n in group])
            box = [*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist()]
            merged.append((box, boxes[group[0]][1]))
        boxes, threshold = merged, max(threshold, 0.9)


def test_thousands_of_boxes_are_merged():
    """`test_sweep` has more of them, and counts the comparisons."""
    random = np.random.default_rng(3)
    parts = [
        Found(item=rectangle(0, [*map(float, (x, y, x + w, y + h))], score=float(score)))
        for x, y, w, h, score in random.uniform(
            [0, 0, 5, 5, 0.1], [1500, 1200, 60, 60, 1], (3_000, 5)
        )
    ]
    found = merge(parts, threshold=0.5)
    assert 1_000 < len(found) < 3_000
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
