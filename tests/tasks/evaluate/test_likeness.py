"""How alike two objects are, for every kind of annotation."""

from __future__ import annotations

import math

import pytest

from cvat_flows.tasks.evaluate.compare.likeness import find_pairs
from cvat_flows.tasks.evaluate.compare.objects import objects_of
from cvat_flows.tasks.evaluate.compare.poses import SIGMA
from cvat_flows.tasks.model.annotations import TAG, Annotation
from tests.tasks.evaluate.scenes import SIZE, polygon, rectangle


def likeness(a: Annotation, b: Annotation) -> float:
    """Return how alike two objects are; 0 if they are no pair."""
    pairs = find_pairs(objects_of([a]), objects_of([b]), {0: SIZE})
    return float(pairs.likeness[0]) if len(pairs.likeness) else 0.0


def rotated(points: tuple[float, ...], degrees: float) -> Annotation:
    return Annotation(type="rectangle", label_id=1, frame=0, points=points, rotation=degrees)


def mask(runs: list[int], box: tuple[int, int, int, int]) -> Annotation:
    return Annotation(type="mask", label_id=1, frame=0, points=(*map(float, runs), *box))


def skeleton(*places: tuple[float, float] | None, frame: int = 0) -> Annotation:
    return Annotation(
        type="skeleton",
        label_id=1,
        frame=frame,
        elements=tuple(
            Annotation(
                type="points",
                label_id=n,
                frame=frame,
                points=place or (0.0, 0.0),
                outside=place is None,
            )
            for n, place in enumerate(places)
        ),
    )


BOX = rectangle(0, 1, (10, 10, 30, 20))


def test_boxes() -> None:
    assert likeness(BOX, rectangle(0, 2, (10, 10, 30, 15))) == pytest.approx(0.5)
    assert likeness(BOX, rectangle(1, 1, (10, 10, 30, 20))) == 0
    assert likeness(BOX, rectangle(0, 1, (40, 10, 50, 20))) == 0


def test_rotated_boxes() -> None:
    square = (0.0, 0.0, 10.0, 10.0)
    # A square and itself turned by 45 degrees have an octagon in common.
    octagon = 100 * 2 * (math.sqrt(2) - 1)
    expected = octagon / (200 - octagon)
    assert likeness(rotated(square, 45), rotated(square, 0)) == pytest.approx(expected)
    assert likeness(rotated(square, 45), rotated(square, 135)) == pytest.approx(1)
    assert likeness(rotated((0, 0, 20, 10), 90), rotated((5, -5, 15, 15), 0)) == pytest.approx(1)


def test_polygons_masks_and_ellipses() -> None:
    square = polygon(0, 1, (10, 10, 30, 10, 30, 30, 10, 30))
    half = mask([0, 200], (10, 10, 29, 19))
    assert likeness(square, half) == pytest.approx(0.5)
    # Two rows of 20 pixels of which every second pixel belongs to the mask.
    dotted = mask([1, *[1] * 39], (10, 10, 29, 11))
    assert likeness(dotted, mask([0, 40], (10, 10, 29, 11))) == pytest.approx(0.5)
    circle = Annotation(type="ellipse", label_id=1, frame=0, points=(100, 100, 150, 50))
    around = polygon(0, 1, (50, 50, 150, 50, 150, 150, 50, 150))
    assert likeness(circle, around) == pytest.approx(math.pi / 4, abs=0.01)


def test_a_box_and_a_polygon_are_compared_as_boxes() -> None:
    assert likeness(BOX, polygon(0, 1, (10, 10, 30, 10, 20, 20))) == pytest.approx(1)


def test_skeletons() -> None:
    true = skeleton((0, 0), (100, 0), (100, 100), None)
    assert likeness(true, true) == pytest.approx(1)
    off = skeleton((0, 0), (100, 0), (100 - 2 * SIGMA * 100, 100), None)
    assert likeness(off, true) == pytest.approx((2 + math.exp(-0.5)) / 3)
    assert likeness(skeleton((0, 0), None, None, (5, 5)), true) == pytest.approx(1 / 3)
    assert likeness(true, rectangle(0, 1, (0, 0, 100, 100))) == 0


def test_tags() -> None:
    tag = Annotation(type=TAG, label_id=1, frame=0)
    assert likeness(tag, tag) == 1
    assert likeness(tag, rectangle(0, 1, (0, 0, 1, 1))) == 0
