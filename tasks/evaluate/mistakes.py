"""Likely mistakes of people: what a confident detection contradicts.

- forgotten: a confident detection where people have drawn nothing;
- other label: a confident detection of a drawn object that people gave another label.

A detection is confident if it has at least the score that half of the right detections of its label
have.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from attrs import frozen

from cvat_flows.tasks.evaluate.compare.objects import Bools, Floats
from cvat_flows.tasks.evaluate.compare.pairing import NONE
from cvat_flows.tasks.evaluate.evaluation import Comparison

MIN_RIGHT = 10
"""With fewer right detections of a label, nothing is known about its scores."""
OVERLAPS = 0.3
"""A detection that is so much like a drawn object has a counterpart, if a loose one."""

Kind = Literal["forgotten", "other label"]


@frozen(kw_only=True)
class Mistake:
    """What people may have done wrong."""

    kind: Kind
    frame: int
    label: int
    """Id of the label that was detected."""
    true_label: int | None
    """Id of the label that people gave it."""
    score: float
    box: tuple[float, float, float, float]
    """Left, top, right and bottom in pixels."""
    id: int
    """Id of the drawn object in CVAT; 0 if there is none."""


def find_mistakes(comparison: Comparison) -> list[Mistake]:
    """Return likely mistakes of people, the likeliest first."""
    found, true = comparison.found, comparison.true
    confident = _confident(comparison)
    nearest = _nearest(comparison)
    renamed = comparison.others.true_of
    is_renamed = confident & (renamed != NONE)
    is_alone = confident & (comparison.pairing.true_of == NONE) & (renamed == NONE)
    is_alone &= nearest < OVERLAPS
    mistakes = [
        Mistake(
            kind="other label" if is_renamed[n] else "forgotten",
            frame=int(found.frame[n]),
            label=int(found.label[n]),
            true_label=int(true.label[renamed[n]]) if is_renamed[n] else None,
            score=float(found.score[n]),
            box=_box(found.box[n]),
            id=int(true.ids[renamed[n]]) if is_renamed[n] else 0,
        )
        for n in np.flatnonzero(is_renamed | is_alone).tolist()
    ]
    return sorted(mistakes, key=lambda one: (-one.score, one.frame))


def _confident(comparison: Comparison) -> Bools:
    found, right = comparison.found, comparison.pairing.true_of != NONE
    confident = np.zeros(len(found), bool)
    for label in np.unique(found.label).tolist():
        of_label = found.label == label
        scores = found.score[of_label & right]
        if len(scores) >= MIN_RIGHT:
            confident |= of_label & comparison.used & (found.score >= np.median(scores))
    return confident


def _nearest(comparison: Comparison) -> Floats:
    """Return for each detection how much it is like the most similar drawn object."""
    nearest = np.zeros(len(comparison.found))
    np.maximum.at(nearest, comparison.pairs.found, comparison.pairs.likeness)
    return nearest


def _box(row: Floats) -> tuple[float, float, float, float]:
    left, top, right, bottom = row.tolist()
    return left, top, right, bottom
