"""Decide which detection found which true object, as COCO does it.

Detections choose in the order of their scores. Each takes the most similar true object of its label
that is not taken and is similar enough. What a detection takes does not depend on detections with
lower scores, so one pairing is valid for every threshold of the score.
"""

from __future__ import annotations

import numpy as np
from attrs import frozen

from cvat_flows.tasks.evaluate.compare.likeness import Pairs
from cvat_flows.tasks.evaluate.compare.objects import Bools, Floats, Ints, Objects

NONE = -1


@frozen(kw_only=True, eq=False)
class Pairing:
    """Which detection found which true object.

    Attributes:
        true_of: For each detection the index of the true object that it found; NONE for none.
        found_of: For each true object the index of its detection; NONE for none.
        likeness: For each detection how alike it is to its true object; 0 without one.
    """

    true_of: Ints
    found_of: Ints
    likeness: Floats


def pair_up(found: Objects, true: Objects, pairs: Pairs, least: float) -> Pairing:
    """Pair detections with true objects of the same label that are at least so alike."""
    same = found.label[pairs.found] == true.label[pairs.true]
    return _greedy(pairs.select(same & (pairs.likeness >= least - 1e-10)), found, true)


def pair_others(
    found: Objects, true: Objects, pairs: Pairs, pairing: Pairing, least: float
) -> Pairing:
    """Pair what is left over with objects of other labels: found in place, but named wrongly."""
    free = (pairing.true_of[pairs.found] == NONE) & (pairing.found_of[pairs.true] == NONE)
    other = found.label[pairs.found] != true.label[pairs.true]
    return _greedy(pairs.select(free & other & (pairs.likeness >= least - 1e-10)), found, true)


def _greedy(pairs: Pairs, found: Objects, true: Objects) -> Pairing:
    true_of = np.full(len(found), NONE, np.int64)
    found_of = np.full(len(true), NONE, np.int64)
    likeness = np.zeros(len(found))
    alone = _is_alone(pairs.found, len(found)) & _is_alone(pairs.true, len(true))
    _take(pairs.select(alone), true_of, found_of, likeness)
    rest = pairs.select(~alone)
    # Of equally similar true objects the last one is taken, as COCO does it.
    order = np.lexsort((-rest.true, -rest.likeness, rest.found, -found.score[rest.found]))
    columns = (rest.found[order], rest.true[order], rest.likeness[order])
    for one, other, alike in zip(*(column.tolist() for column in columns), strict=True):
        if true_of[one] == NONE and found_of[other] == NONE:
            true_of[one], found_of[other], likeness[one] = other, one, alike
    return Pairing(true_of=true_of, found_of=found_of, likeness=likeness)


def _is_alone(column: Ints, size: int) -> Bools:
    """Return which entries of a column are in it only once. This spares most of the loop."""
    alone: Bools = np.bincount(column, minlength=size)[column] == 1
    return alone


def _take(pairs: Pairs, true_of: Ints, found_of: Ints, likeness: Floats) -> None:
    true_of[pairs.found] = pairs.true
    found_of[pairs.true] = pairs.found
    likeness[pairs.found] = pairs.likeness
