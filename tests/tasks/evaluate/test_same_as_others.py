"""The average precisions of skeletons, rotated boxes and tags, against a second source.

Skeletons: another library. Rotated boxes: COCO's rules written out, with the intersection of
two rectangles in exact fractions. Tags: the same rules, with a label as the only likeness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from cvat_flows.tasks.evaluate.compare.geometry import corners_of
from cvat_flows.tasks.evaluate.compare.likeness import find_pairs
from cvat_flows.tasks.evaluate.compare.objects import objects_of
from cvat_flows.tasks.evaluate.compare.poses import SIGMA
from cvat_flows.tasks.evaluate.evaluation import compare, evaluate
from cvat_flows.tasks.model.annotations import TAG, Annotation
from tests.tasks.evaluate.scenes import SIZE

KEYPOINTS = 5
IOUS = [0.5 + 0.05 * n for n in range(10)]
Likeness = Callable[[Annotation, Annotation], float]


def figures(
    found: Sequence[Annotation], true: Sequence[Annotation], frames: int
) -> tuple[float | None, float | None]:
    """Return our AP50-95 and AP50."""
    sizes = dict.fromkeys(range(frames), SIZE)
    overall = evaluate(
        compare(objects_of(found), objects_of(true), frames=range(frames), sizes=sizes)
    ).overall
    return overall.ap50_95, overall.ap50


def written_out(
    found: Sequence[Annotation], true: Sequence[Annotation], likeness: Likeness
) -> tuple[float, float]:
    """Return AP50-95 and AP50 by COCO's rules: loops over everything, one rule a line."""
    labels = sorted({one.label_id for one in true})
    means = [
        [average_precision(found, true, label, least, likeness) for label in labels]
        for least in IOUS
    ]
    return float(np.mean(means)), float(np.mean(means[0]))


def average_precision(
    found: Sequence[Annotation],
    true: Sequence[Annotation],
    label: int,
    least: float,
    likeness: Likeness,
) -> float:
    wanted = [one for one in true if one.label_id == label]
    ordered = sorted(
        (one for one in found if one.label_id == label), key=lambda one: -(one.score or 0)
    )
    taken: set[int] = set()
    right = []
    for one in ordered:
        best, place = least - 1e-10, -1
        for n, other in enumerate(wanted):
            if n not in taken and other.frame == one.frame and likeness(one, other) >= best:
                best, place = likeness(one, other), n
        right.append(place >= 0)
        taken |= {place} - {-1}
    reached = np.cumsum(right)
    precision = reached / np.arange(1, len(right) + 1)
    recall = reached / len(wanted)
    total = 0.0
    for step in range(101):
        later = precision[recall >= step / 100 - 1e-12]
        total += float(later.max()) if len(later) else 0.0
    return total / 101


# Skeletons


def skeleton(frame: int, label: int, places: Any, score: float | None = None) -> Annotation:
    """Make a skeleton. A place that is not a number is outside."""
    return Annotation(
        type="skeleton",
        label_id=label,
        frame=frame,
        score=score,
        elements=tuple(
            Annotation(
                type="points",
                label_id=100 + n,
                frame=frame,
                points=(0.0, 0.0) if math.isnan(x) else (float(x), float(y)),
                outside=math.isnan(x),
            )
            for n, (x, y) in enumerate(places)
        ),
    )


def random_skeletons(frames: int, seed: int) -> tuple[list[Annotation], list[Annotation]]:
    """Return detections and true skeletons: near ones, far ones, missing, extra, misnamed."""
    rng = np.random.default_rng(seed)
    found, true = [], []
    for frame in range(frames):
        for _ in range(int(rng.integers(0, 6))):
            label = int(rng.integers(1, 3))
            places = rng.uniform(0, 400, 2) + rng.uniform(0, 120, (KEYPOINTS, 2))
            hidden = places.copy()
            hidden[rng.uniform(size=KEYPOINTS) < 0.2] = np.nan
            if np.isnan(hidden[:, 0]).sum() > KEYPOINTS - 2:
                hidden = places
            true.append(skeleton(frame, label, hidden))
            if rng.uniform() < 0.85:
                moved = places + rng.normal(0, rng.choice([1.0, 6.0, 20.0]), places.shape)
                named = label if rng.uniform() < 0.9 else 3 - label
                found.append(skeleton(frame, named, moved, round(float(rng.uniform()), 3)))
        if rng.uniform() < 0.3:
            extra = rng.uniform(0, 400, (KEYPOINTS, 2))
            found.append(skeleton(frame, 1, extra, round(float(rng.uniform()), 3)))
    return found, true


def keypoint_rows(shapes: Sequence[Annotation], *, scores: bool) -> list[dict[str, Any]]:
    objects = objects_of(shapes)
    rows = []
    for n, shape in enumerate(objects.shapes):
        left, top, right, bottom = objects.box[n].tolist()
        values = [
            value
            for one in shape.elements
            for value in (*(one.points if not one.outside else (0.0, 0.0)), 2 * (not one.outside))
        ]
        row = {
            "id": n + 1,
            "image_id": shape.frame,
            "category_id": shape.label_id,
            "keypoints": values,
            "num_keypoints": sum(not one.outside for one in shape.elements),
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": 0,
        }
        rows.append({**row, "score": shape.score} if scores else row)
    return rows


@pytest.mark.parametrize(("frames", "seed"), [(1, 3), (12, 1), (60, 2)])
def test_skeletons(frames: int, seed: int) -> None:
    found, true = random_skeletons(frames, seed)
    assert found
    assert true
    names = [str(n) for n in range(KEYPOINTS)]
    truth = COCO(
        {
            "images": [{"id": n, "width": SIZE[0], "height": SIZE[1]} for n in range(frames)],
            "categories": [
                {"id": n, "name": str(n), "keypoints": names, "skeleton": []} for n in (1, 2)
            ],
            "annotations": keypoint_rows(true, scores=False),
        }
    )
    results = truth.loadRes(keypoint_rows(found, scores=True))
    other = COCOeval_faster(
        truth,
        results,
        "keypoints",
        print_function=lambda *_: None,
        kpt_oks_sigmas=np.full(KEYPOINTS, SIGMA),
    )
    other.params.maxDets = [100_000]
    other.evaluate()
    other.accumulate()
    precision = other.eval["precision"][:, :, :, 0, 0]
    ap, ap50 = figures(found, true, frames)
    assert ap == pytest.approx(precision[precision > -1].mean(), abs=1e-6)
    assert ap50 == pytest.approx(precision[0][precision[0] > -1].mean(), abs=1e-6)
    assert ap50 is not None
    assert 0 < ap50 < 1


# Rotated boxes


def exact_iou(a: Annotation, b: Annotation) -> float:
    """Return the IoU of two rectangles with corners in fractions: nothing is rounded."""
    one, other = exact_corners(a), exact_corners(b)
    common = one
    for n, begin in enumerate(other):
        common = exact_half(common, begin, other[(n + 1) % 4])
    shared = exact_area(common)
    return float(shared / (exact_area(one) + exact_area(other) - shared))


Corner = tuple[Fraction, Fraction]


def exact_corners(shape: Annotation) -> list[Corner]:
    """Turn the corners around the middle. CVAT turns clockwise on the screen."""
    left, top, right, bottom = map(Fraction, shape.points)
    x, y = (left + right) / 2, (top + bottom) / 2
    angle = math.radians(shape.rotation)
    c, s = Fraction(math.cos(angle)), Fraction(math.sin(angle))
    return [
        (x + (u - x) * c - (v - y) * s, y + (u - x) * s + (v - y) * c)
        for u, v in ((left, top), (right, top), (right, bottom), (left, bottom))
    ]


def exact_half(polygon: Sequence[Corner], a: Corner, b: Corner) -> list[Corner]:
    """Return the part of a convex polygon to the right of the way from a to b, as y points down."""

    def side(p: Corner) -> Fraction:
        return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

    kept = []
    for n, p in enumerate(polygon):
        q = polygon[(n + 1) % len(polygon)]
        here, there = side(p), side(q)
        if here >= 0:
            kept.append(p)
        if here * there < 0:
            part = here / (here - there)
            kept.append((p[0] + (q[0] - p[0]) * part, p[1] + (q[1] - p[1]) * part))
    return kept


def exact_area(polygon: Sequence[Corner]) -> Fraction:
    pairs = zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    return abs(sum((p[0] * q[1] - q[0] * p[1] for p, q in pairs), Fraction(0))) / 2


def random_rotated(frames: int, seed: int) -> tuple[list[Annotation], list[Annotation]]:
    rng = np.random.default_rng(seed)
    found, true = [], []

    def box(
        frame: int, label: int, points: Any, turn: float, score: float | None = None
    ) -> Annotation:
        return Annotation(
            type="rectangle",
            label_id=label,
            frame=frame,
            points=tuple(map(float, points)),
            rotation=float(turn) % 360,
            score=score,
        )

    for frame in range(frames):
        for _ in range(int(rng.integers(0, 5))):
            label, corner = int(rng.integers(1, 3)), rng.uniform(0, 300, 2)
            points = np.hstack([corner, corner + rng.uniform(10, 120, 2)])
            turn = rng.choice([0.0, 90.0, rng.uniform(0, 360)])
            true.append(box(frame, label, points, turn))
            if rng.uniform() < 0.85:
                moved = points + rng.normal(0, 4, 4)
                moved[2:] = np.maximum(moved[2:], moved[:2] + 2)
                score = round(float(rng.uniform()), 3)
                found.append(box(frame, label, moved, turn + rng.normal(0, 8), score))
        if rng.uniform() < 0.3:
            found.append(box(frame, 1, (5, 5, 60, 30), 33, round(float(rng.uniform()), 3)))
    return found, true


@pytest.mark.parametrize("seed", [4, 5])
def test_rotated_boxes(seed: int) -> None:
    found, true = random_rotated(25, seed)
    ours, ours50 = figures(found, true, 25)
    ap, ap50 = written_out(found, true, exact_iou)
    assert (ours, ours50) == (pytest.approx(ap, abs=1e-9), pytest.approx(ap50, abs=1e-9))
    assert 0 < ap < ap50 < 1


def test_the_likeness_of_rotated_boxes_is_exact() -> None:
    found, true = (objects_of(side) for side in random_rotated(40, 6))
    pairs = find_pairs(found, true, {})
    assert len(pairs.found) > 50
    for n, alike in enumerate(pairs.likeness.tolist()):
        one, other = found.shapes[pairs.found[n]], true.shapes[pairs.true[n]]
        assert alike == pytest.approx(exact_iou(one, other), abs=1e-9)


def test_a_rotated_box_has_the_corners_that_cvat_draws() -> None:
    """A box of 4 x 2 that is turned by 90 degrees stands upright around the same middle."""
    upright = Annotation(
        type="rectangle", label_id=1, frame=0, points=(0.0, 0.0, 4.0, 2.0), rotation=90.0
    )
    corners = corners_of(upright).round(9).tolist()
    assert corners == [[3, -1], [3, 3], [1, 3], [1, -1]]


# Tags


def tag(frame: int, label: int, score: float | None = None) -> Annotation:
    return Annotation(type=TAG, label_id=label, frame=frame, score=score)


@pytest.mark.parametrize("seed", [7, 8])
def test_tags(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, true = [], []
    for frame in range(80):
        for label in (1, 2, 3):
            there = rng.uniform() < 0.4
            if there:
                true.append(tag(frame, label))
            if rng.uniform() < (0.8 if there else 0.2):
                found.append(tag(frame, label, round(float(rng.uniform(0.3 * there, 1)), 4)))
    ours, ours50 = figures(found, true, 80)
    ap, ap50 = written_out(found, true, lambda a, b: 1.0)
    assert (ours, ours50) == (pytest.approx(ap, abs=1e-9), pytest.approx(ap50, abs=1e-9))
    assert ours == pytest.approx(ours50, abs=1e-12)
    # Without a threshold, precision and recall are those of sets of frames and labels.
    overall = evaluate(
        compare(objects_of(found), objects_of(true), frames=range(80), sizes={})
    ).overall.counts
    a, b = ({(one.frame, one.label_id) for one in side} for side in (found, true))
    assert overall.precision == len(a & b) / len(a)
    assert overall.recall == len(a & b) / len(b)
