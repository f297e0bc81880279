"""Areas, intersections and unions against counting points one by one."""

from __future__ import annotations

import numpy as np
import pytest
from cvat_sdk.masks import encode_mask
from hypothesis import given, settings
from hypothesis import strategies as st

from aa_functions.wrappers.geometry import (
    Bitmap,
    area_of,
    convex_intersection,
    corners_of,
    enclosing_rectangle,
    fill,
    polygon_intersection,
    polygon_union,
    union_of,
)

SMALL = st.integers(0, 2**36 - 1)
RECTANGLE = st.tuples(
    *[st.integers(0, 30)] * 2, *[st.integers(4, 40)] * 2, st.sampled_from([0, 17, 45, 90, 200.5])
)


def pixels_of(number: int) -> np.ndarray:
    return np.array([number >> n & 1 for n in range(36)], dtype=bool).reshape(6, 6)


def star(x: float, y: float, radius: float, corners: int = 7) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 2 * corners, endpoint=False)
    radii = np.where(np.arange(2 * corners) % 2, radius / 2, radius)
    return np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)


def is_inside(points: np.ndarray, x: float, y: float) -> bool:
    """By the even-odd rule, with a ray to the left."""
    inside = False
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y1 > y) != (y2 > y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) <= x:
            inside = not inside
    return inside


@given(SMALL.filter(bool), st.integers(0, 9), st.integers(0, 9))
def test_masks_are_read_as_the_sdk_writes_them(number, left, top):
    full = np.zeros((20, 20), dtype=bool)
    full[top : top + 6, left : left + 6] = pixels_of(number)
    points = encode_mask(full)
    bitmap = Bitmap.of_mask(points)
    found = np.zeros_like(full)
    height, width = bitmap.pixels.shape
    found[bitmap.top : bitmap.top + height, bitmap.left : bitmap.left + width] = bitmap.pixels
    assert np.array_equal(found, full)


@given(st.lists(st.tuples(SMALL, st.integers(-8, 8), st.integers(-8, 8)), min_size=2, max_size=4))
def test_unions_and_shared_pixels_of_masks(rows):
    bitmaps = [Bitmap(left=x, top=y, pixels=pixels_of(number)) for number, x, y in rows]
    sets = [
        {(x + c, y + r) for r in range(6) for c in range(6) if pixels_of(number)[r, c]}
        for number, x, y in rows
    ]
    union = union_of(bitmaps)
    found = {
        (union.left + int(column), union.top + int(row))
        for row, column in zip(*np.nonzero(union.pixels), strict=True)
    }
    assert found == set().union(*sets)
    assert bitmaps[0].shared(bitmaps[1]) == len(sets[0] & sets[1])


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(-3, 12)] * 2), min_size=3, max_size=7))
def test_filling_equals_the_even_odd_rule(corners):
    points = np.add(corners, (0.1234567, 0.2718281))  # no ties
    drawn = fill(points, np.array([1.0, 2.0]), scale=2.0, size=(14, 10))
    wanted = [
        [is_inside(points, 1 + (column + 0.5) / 2, 2 + (row + 0.5) / 2) for column in range(14)]
        for row in range(10)
    ]
    assert drawn.tolist() == wanted


@given(RECTANGLE, RECTANGLE)
def test_intersection_of_rotated_rectangles(one, other):
    polygons = [corners_of((x, y, x + w, y + h), turn) for x, y, w, h, turn in (one, other)]
    shared = convex_intersection(*polygons)
    assert shared == pytest.approx(convex_intersection(*polygons[::-1]), abs=1e-6)
    areas = [w * h for _, _, w, h, _ in (one, other)]
    assert shared == pytest.approx(polygon_intersection(*polygons), abs=0.05 * min(areas))
    assert convex_intersection(polygons[0], polygons[0]) == pytest.approx(areas[0])


def test_a_rectangle_turns_clockwise_as_in_cvat():
    corners = corners_of((0, 0, 4, 2), 90)
    assert corners.round(9).tolist() == [[3, -1], [3, 3], [1, 3], [1, -1]]


@given(st.lists(RECTANGLE, min_size=1, max_size=3), st.sampled_from([0, 30, 90, 215]))
def test_the_rectangle_around_points(rows, rotation):
    points = np.concatenate([corners_of((x, y, x + w, y + h), turn) for x, y, w, h, turn in rows])
    found = enclosing_rectangle(points, rotation)
    corners = corners_of(found, rotation)
    # In the rectangle's own directions nothing sticks out, and each side touches a point.
    turn = np.deg2rad(-rotation)
    away = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    inner, outer = points @ away, corners @ away
    assert inner.min(axis=0) == pytest.approx(outer.min(axis=0), abs=1e-4)
    assert inner.max(axis=0) == pytest.approx(outer.max(axis=0), abs=1e-4)


@settings(max_examples=40)
@given(st.floats(0, 40), st.floats(0, 40), st.floats(3, 200), st.integers(3, 9), st.floats(3, 200))
def test_shared_area_and_union_of_polygons(x, y, radius, corners, other_radius):
    one, other = star(100, 100, radius, corners), star(100 + x, 100 + y, other_radius)
    shared = polygon_intersection(one, other)
    areas = [area_of(one), area_of(other)]
    assert -1e-9 <= shared <= 1.02 * min(areas) + 0.5
    assert polygon_intersection(one, one) == pytest.approx(areas[0], rel=0.02)
    if shared < 0.1 * min(areas):
        return
    union = polygon_union([one, other])
    # About one pixel along the outline.
    edge = sum(
        float(np.hypot(*(points - np.roll(points, 1, axis=0)).T).sum()) for points in (one, other)
    )
    holes_and_edge = edge + 0.03 * sum(areas)
    assert area_of(union) >= sum(areas) - shared - holes_and_edge
    assert area_of(union) <= sum(areas) - shared + holes_and_edge + 0.2 * sum(areas)
    low, high = union.min(axis=0), union.max(axis=0)
    everything = np.concatenate([one, other])
    assert np.abs(low - everything.min(axis=0)).max() <= 2
    assert np.abs(high - everything.max(axis=0)).max() <= 2


def test_the_polygon_that_holds_the_others_stays_as_it_is():
    large, small = star(50, 50, 40), star(50, 50, 9)
    assert polygon_union([small, large]) is large
