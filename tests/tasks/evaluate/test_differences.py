"""The difference of two functions on the same frames, and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from cvat_flows.tasks.evaluate.compare.objects import Objects, objects_of
from cvat_flows.tasks.evaluate.differences import differences
from cvat_flows.tasks.evaluate.evaluation import Evaluation, compare, evaluate
from tests.tasks.evaluate.scenes import rectangle

FRAMES = 300
PLACE = (10, 10, 40, 40)


def truth() -> Objects:
    return objects_of([rectangle(n, 1, PLACE) for n in range(FRAMES)])


def evaluation(found_share: float, seed: int) -> Evaluation:
    """Evaluate a function that finds a share of the objects."""
    rng = np.random.default_rng(seed)
    seen = np.flatnonzero(rng.uniform(size=FRAMES) < found_share).tolist()
    found = objects_of([rectangle(n, 1, PLACE, 0.5 + n / 1000) for n in seen])
    return evaluate(compare(found, truth(), frames=range(FRAMES), sizes={}))


def test_a_better_function_is_better_for_certain() -> None:
    one, other = evaluation(0.6, 1), evaluation(0.9, 2)
    for label in (1, None):
        recall = differences(one, other)[label]["recall"]
        assert recall.verdict == "better"
        assert recall.interval
        assert recall.value == pytest.approx(0.3, abs=0.08)
        assert recall.interval[0] < recall.value < recall.interval[1]
        assert differences(other, one)[label]["recall"].verdict == "worse"
        assert differences(one, other)[label]["precision"].value == 0
        assert differences(one, other)[label]["precision"].verdict == "not certain"


def test_the_same_function_has_no_difference() -> None:
    one = evaluation(0.7, 1)
    for figure in differences(one, one)[None].values():
        assert (figure.value, figure.interval) == (0, (0, 0))
        assert figure.verdict == "not certain"


def test_chance_is_not_certain() -> None:
    verdicts = [
        differences(evaluation(0.7, seed), evaluation(0.7, 100 + seed))[None]["recall"].verdict
        for seed in range(20)
    ]
    assert verdicts.count("not certain") >= 17


def test_an_undefined_figure() -> None:
    nothing = evaluate(compare(objects_of([]), truth(), frames=range(FRAMES), sizes={}))
    found = differences(nothing, evaluation(0.5, 1))[None]["precision"]
    assert (found.one, found.value, found.interval) == (None, None, None)
    assert found.verdict == "not certain"
