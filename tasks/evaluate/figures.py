"""The figures of an evaluation: precision, recall, F1 and average precision, by label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from attrs import field, frozen

from cvat_flows.tasks.evaluate.compare.coco import IOUS, average_precision
from cvat_flows.tasks.evaluate.compare.likeness import Pairs
from cvat_flows.tasks.evaluate.compare.objects import Bools, Objects
from cvat_flows.tasks.evaluate.compare.pairing import NONE, Pairing, pair_up
from cvat_flows.tasks.evaluate.counts import Counts

Interval = tuple[float, float]
SIZES = (("small", 0.0), ("medium", 32.0**2), ("large", 96.0**2))
"""COCO's sizes of objects, with their least area in pixels."""


@frozen(kw_only=True)
class Figures:
    """How good the detections of one label, or of all labels, are."""

    counts: Counts
    ap50: float | None = None
    """Average precision: whether good scores go to right detections."""
    ap50_95: float | None = None
    """The mean over likenesses from 0.50 to 0.95: whether shapes fit closely, too."""
    intervals: Mapping[str, Interval] = field(factory=dict)
    """By the name of a figure: where it is with 95 % certainty."""


def count_by_label(
    found: Objects, true: Objects, pairing: Pairing, used: Bools
) -> dict[int, Counts]:
    """Count the used detections and the true objects of each label."""
    right = pairing.true_of != NONE
    missed = pairing.found_of == NONE
    counts = {}
    for label in np.union1d(found.label, true.label).tolist():
        of_label = (found.label == label) & used
        counts[label] = Counts(
            right=int((of_label & right).sum()),
            extra=int((of_label & ~right).sum()),
            missed=int(((true.label == label) & missed).sum()),
        )
    return counts


def count_by_size(
    found: Objects, true: Objects, pairing: Pairing, used: Bools
) -> dict[str, Counts]:
    """Count by size: what was found by the size of the true object, the rest by its own size."""
    right = pairing.true_of != NONE
    area = found.area.copy()
    area[right] = true.area[pairing.true_of[right]]
    limits = np.array([least for _, least in SIZES])
    size_found = np.searchsorted(limits, area, side="right") - 1
    size_true = np.searchsorted(limits, true.area, side="right") - 1
    missed = pairing.found_of == NONE
    return {
        name: Counts(
            right=int(((size_found == n) & used & right).sum()),
            extra=int(((size_found == n) & used & ~right).sum()),
            missed=int(((size_true == n) & missed).sum()),
        )
        for n, (name, _) in enumerate(SIZES)
    }


def average_precisions(
    found: Objects, true: Objects, pairs: Pairs
) -> dict[int, tuple[float | None, float | None]]:
    """Return AP50 and AP50-95 of each label. They count all detections, whatever their score."""
    matched = [pair_up(found, true, pairs, least).true_of != NONE for least in IOUS.tolist()]
    result: dict[int, tuple[float | None, float | None]] = {}
    for label in np.union1d(found.label, true.label).tolist():
        of_label = found.label == label
        count = int((true.label == label).sum())
        scores = found.score[of_label]
        all_aps = [average_precision(scores, one[of_label], count) for one in matched]
        aps = [ap for ap in all_aps if ap is not None]
        result[label] = (aps[0], float(np.mean(aps))) if aps else (None, None)
    return result


def mean_defined(values: list[float | None]) -> float | None:
    """Return the mean of the figures that are defined; None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
