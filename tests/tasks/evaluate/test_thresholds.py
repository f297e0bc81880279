"""A suggested threshold keeps its promise on frames that were not used to find it."""

from __future__ import annotations

import numpy as np
import pytest

from cvat_flows.tasks.evaluate.compare.objects import Objects, objects_of
from cvat_flows.tasks.evaluate.evaluation import compare
from cvat_flows.tasks.evaluate.thresholds import Suggestion, curve_of, suggest, thresholds_yaml
from cvat_flows.tasks.matching.strict_yaml import load_yaml
from tests.tasks.evaluate.scenes import rectangle


def scene(seed: int, count: int = 2000) -> tuple[Objects, Objects]:
    """Return detections that are right with the probability of their score, and the truth."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 1, count)
    right = rng.uniform(0, 1, count) < scores
    place = (0, 0, 10, 10)
    found = [rectangle(n, 1, place, s) for n, s in enumerate(scores.tolist())]
    true = [rectangle(n, 1, place) for n in np.flatnonzero(right).tolist()]
    return objects_of(found), objects_of(true)


@pytest.mark.parametrize("wanted", [0.7, 0.9])
def test_the_wanted_precision_is_kept_on_other_frames(wanted: float) -> None:
    rng = np.random.default_rng(999)
    others = rng.uniform(0, 1, 2_000_000)
    others_right = rng.uniform(0, 1, len(others)) < others
    kept = []
    for seed in range(20):
        found, true = scene(seed)
        comparison = compare(found, true, frames=range(2000), sizes={})
        suggestion = suggest(curve_of(found, true, comparison.pairing, 1), min_precision=wanted)
        assert suggestion.threshold is not None
        # Detections above t are right with the probability (1 + t) / 2: it is not too high, either.
        assert suggestion.threshold < 2 * wanted - 1 + 0.15
        kept.append(others_right[others >= suggestion.threshold].mean() >= wanted)
    assert np.mean(kept) >= 0.9


def test_the_best_f1() -> None:
    # Scores, and whether right; there are four true objects.
    scores = [0.9] * 10 + [0.5] * 2 + [0.3] * 8
    found = objects_of([rectangle(n, 1, (0, 0, 9, 9), s) for n, s in enumerate(scores)])
    true = objects_of([rectangle(n, 1, (0, 0, 9, 9)) for n in range(12)])
    comparison = compare(found, true, frames=range(20), sizes={})
    curve = curve_of(found, true, comparison.pairing, 1)
    assert curve.threshold.tolist() == [0.9, 0.5, 0.3]
    assert curve.precision.tolist() == [1, 1, 12 / 20]
    assert curve.recall.tolist() == [10 / 12, 1, 1]
    assert suggest(curve) == Suggestion(threshold=0.5, precision=1.0, recall=1.0)


def test_nothing_is_suggested_without_enough_detections() -> None:
    found, true = scene(1, count=9)
    comparison = compare(found, true, frames=range(9), sizes={})
    curve = curve_of(found, true, comparison.pairing, 1)
    assert suggest(curve).reason == "fewer than 10 detections"
    assert suggest(curve_of(found, true, comparison.pairing, 5)).threshold is None


def test_a_precision_that_no_threshold_has() -> None:
    found, true = scene(1)
    comparison = compare(found, true, frames=range(2000), sizes={})
    curve = curve_of(found, true, comparison.pairing, 1)
    assert "precision of 0.9999" in suggest(curve, min_precision=0.9999).reason


def test_the_file_is_what_label_thresholds_reads() -> None:
    suggestions = {
        'a "b": #c': Suggestion(threshold=0.25, precision=0.9, recall=0.5),
        "dog": Suggestion(reason="no true object"),
    }
    content = thresholds_yaml(suggestions, title="a\nb: 1")
    assert load_yaml(content) == {'a "b": #c': 0.25}
