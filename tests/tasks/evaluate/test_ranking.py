"""Planted mistakes, of the model and of people, come first."""

from __future__ import annotations

from collections import Counter

import numpy as np

from cvat_flows.tasks.evaluate.compare.objects import objects_of
from cvat_flows.tasks.evaluate.corrections import rank_by_truth, rank_jobs
from cvat_flows.tasks.evaluate.doubts import rank_by_doubt
from cvat_flows.tasks.evaluate.evaluation import compare
from cvat_flows.tasks.evaluate.mistakes import find_mistakes
from cvat_flows.tasks.model.annotations import Annotation
from tests.tasks.evaluate.scenes import rectangle

FRAMES = 200
PLACES = [(60 * n, 10, 60 * n + 40, 50) for n in range(6)]


def truth() -> dict[int, list[Annotation]]:
    return {n: [rectangle(n, 1 + k % 2, p) for k, p in enumerate(PLACES)] for n in range(FRAMES)}


def detections(seed: int) -> dict[int, list[Annotation]]:
    """Return detections of everything, shifted by some pixels, with good scores."""
    rng = np.random.default_rng(seed)
    return {
        n: [
            rectangle(n, one.label_id, np.array(one.points) + rng.normal(0, 1, 4), score)
            for one, score in zip(row, rng.uniform(0.7, 1, len(row)).tolist(), strict=True)
        ]
        for n, row in truth().items()
    }


def objects(by_frame: dict[int, list[Annotation]]):
    rows = [one for n in sorted(by_frame) for one in by_frame[n]]
    return objects_of(rows, list(range(1, len(rows) + 1)))


def test_frames_with_planted_mistakes_of_the_model_come_first() -> None:
    found = detections(1)
    found[7].pop()  # missing
    found[20].append(rectangle(20, 1, (400, 200, 440, 240), 0.9))  # extra
    found[33][2] = rectangle(33, 2, PLACES[2], 0.9)  # with another label
    left, top, right, bottom = PLACES[0]
    found[50][0] = rectangle(50, 1, (left + 8, top, right + 8, bottom), 0.9)  # moved
    found[90] = found[90][:3]  # three missing
    ranked = rank_by_truth(
        compare(objects(found), objects(truth()), frames=range(FRAMES), sizes={})
    )
    assert [(one.frame, one.corrections, one.reasons) for one in ranked] == [
        (90, 3, ("3 missing",)),
        (7, 1, ("1 missing",)),
        (20, 1, ("1 extra",)),
        (33, 1, ("1 with another label",)),
        (50, 1, ("1 moved",)),
    ]
    jobs = rank_jobs(ranked, {n: 5 + n // 50 for n in range(FRAMES)})
    assert [(job.job_id, job.frames, job.corrections) for job in jobs] == [
        (6, 50, 4), (5, 50, 3)
    ]  # fmt: skip
    assert jobs[0].mean == 4 / 50


def test_without_a_truth_most_planted_mistakes_are_in_the_first_tenth() -> None:
    rng = np.random.default_rng(4)
    found = detections(2)
    planted = rng.choice(np.arange(2, FRAMES - 2, 4), 20, replace=False).tolist()
    for n, frame in enumerate(planted):
        if n % 2:  # An object flickers.
            found[frame].pop()
        else:  # The model is unsure of two that are not there.
            found[frame] += [
                rectangle(frame, 1, (9 + k, 200 + 90 * k, 60, 280 + 90 * k), 0.52) for k in (0, 1)
            ]
    everything = objects(found)
    limits = np.full(len(everything), 0.5)
    used = everything.score >= limits
    ranked = rank_by_doubt(everything, used, limits, np.arange(FRAMES))
    first = {one.frame for one in ranked[: FRAMES // 10]}
    assert len(first & set(planted)) / len(planted) >= 0.9
    assert {reason for one in ranked for reason in one.reasons} >= {"1 gone", "2 unsure"}


def test_rare_labels_and_unusual_numbers() -> None:
    found = detections(3)
    found[11].append(rectangle(11, 9, (500, 300, 540, 340), 0.9))
    found[40] += [rectangle(40, 1, (30 * k, 300, 30 * k + 20, 320), 0.9) for k in range(12)]
    everything = objects(found)
    limits = np.full(len(everything), 0.5)
    ranked = rank_by_doubt(everything, everything.score > 0.5, limits, np.arange(FRAMES))
    assert [(one.frame, one.reasons) for one in ranked] == [
        (40, ("unusual number",)),
        (11, ("1 rare",)),
    ]


def test_likely_mistakes_of_people_are_found_and_the_models_are_not() -> None:
    people, found = truth(), detections(5)
    del people[10][0]  # forgotten
    people[15][1] = rectangle(15, 1, PLACES[1])  # named wrongly
    for frame, row in ((10, 0), (15, 1)):
        one = found[frame][row]
        found[frame][row] = rectangle(frame, one.label_id, one.points, 0.99)
    found[60].append(rectangle(60, 1, (400, 200, 440, 240), 0.4))  # the model's, and unsure
    found[70].append(rectangle(70, 1, np.array(PLACES[0]) + 12, 0.99))  # a second, loose one
    comparison = compare(objects(found), objects(people), frames=range(FRAMES), sizes={})
    mistakes = find_mistakes(comparison)
    assert Counter((one.kind, one.frame, one.label, one.true_label) for one in mistakes) == {
        ("forgotten", 10, 1, None): 1,
        ("other label", 15, 2, 1): 1,
    }
    named = next(one for one in mistakes if one.kind == "other label")
    assert comparison.true.shapes[named.id - 1].frame == 15
