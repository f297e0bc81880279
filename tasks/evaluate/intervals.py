"""How certain the figures are: intervals by the bootstrap over images.

The frames are drawn again and again with replacement, as many as there are, and the figures are
computed each time. Objects of an image depend on each other, so images are drawn and not objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cvat_flows.tasks.evaluate.compare.objects import Bools, Floats, Ints, Objects
from cvat_flows.tasks.evaluate.compare.pairing import NONE, Pairing

ROUNDS = 200
MIN_FRAMES = 10
"""With fewer frames an interval would only look certain."""
_SEED = 20261130
_RECALLS = np.linspace(0, 1, 101)
_ROUNDS_AT_ONCE = 50

Interval = tuple[float, float]


def bootstrap(
    found: Objects,
    true: Objects,
    *,
    pairing: Pairing,
    used: Bools,
    all_pairing: Pairing,
    frames: Ints,
) -> dict[int | None, dict[str, Interval]]:
    """Return the intervals of 95 % of precision, recall, F1 and AP50, by label and figure.

    The label None stands for all labels; its AP50 is the mean of the labels'. There is no interval
    on fewer than MIN_FRAMES frames, or if a figure is undefined in most rounds.

    Args:
        found: The detections.
        true: The true objects.
        pairing: Which of the used detections and true objects belong together.
        used: Which detections have a score above the threshold.
        all_pairing: The same for all detections, at a likeness of 0.5: for AP50.
        frames: Numbers of all evaluated frames, sorted, also of those without objects.
    """
    samples = sample_figures(
        found, true, pairing=pairing, used=used, all_pairing=all_pairing, frames=frames
    )
    return {
        label: {name: ends for name, one in figures.items() if (ends := interval_of(one))}
        for label, figures in samples.items()
    }


def sample_figures(
    found: Objects,
    true: Objects,
    *,
    pairing: Pairing,
    used: Bools,
    all_pairing: Pairing,
    frames: Ints,
) -> dict[int | None, dict[str, Floats]]:
    """Return the figures of each round; see `bootstrap`.

    The rounds draw the same frames for every function, so figures of two functions on the same
    frames can be compared round by round.
    """
    if len(frames) < MIN_FRAMES:
        return {}
    labels = np.union1d(found.label, true.label).tolist()
    columns = count_by_frame(found, true, pairing, used, frames, labels)
    curves = [_Curve(found, true, all_pairing, frames, label) for label in labels]
    samples: dict[int | None, dict[str, list[Floats]]] = {label: {} for label in [*labels, None]}
    for weights in draw_frames(len(frames)):
        sums = [weights @ column for column in columns]  # right, extra, missed by label
        aps = np.array([curve.average_precisions(weights) for curve in curves])
        for n, label in enumerate(labels):
            _add(samples[label], ratios_of(*(one[:, n] for one in sums)))
            _add(samples[label], {"ap50": aps[n]})
        _add(samples[None], ratios_of(*(one.sum(axis=1) for one in sums)))
        if labels:
            _add(samples[None], {"ap50": _mean(aps)})
    return {
        label: {name: np.concatenate(parts) for name, parts in figures.items()}
        for label, figures in samples.items()
    }


def interval_of(values: Floats) -> Interval | None:
    """Return where 95 % of the values are; None if most are undefined."""
    defined = values[~np.isnan(values)]
    if len(defined) <= len(values) / 2:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def draw_frames(size: int) -> Iterator[Floats]:
    """Yield how often each of some frames is drawn; shape (rounds, frames)."""
    generator = np.random.default_rng(_SEED)
    for _ in range(ROUNDS // _ROUNDS_AT_ONCE):
        drawn = generator.integers(0, size, (_ROUNDS_AT_ONCE, size))
        offset = np.arange(_ROUNDS_AT_ONCE)[:, None] * size
        counts = np.bincount((drawn + offset).ravel(), minlength=_ROUNDS_AT_ONCE * size)
        yield counts.reshape(_ROUNDS_AT_ONCE, size).astype(np.float64)


def count_by_frame(
    found: Objects, true: Objects, pairing: Pairing, used: Bools, frames: Ints, labels: list[int]
) -> list[Floats]:
    """Return right, extra and missed: the counts of each frame and label."""
    columns = np.array(labels, np.int64)

    def count(objects: Objects, chosen: Bools) -> Floats:
        cells = np.zeros((len(frames), len(labels)))
        place = np.searchsorted(frames, objects.frame[chosen])
        np.add.at(cells, (place, np.searchsorted(columns, objects.label[chosen])), 1)
        return cells

    right = pairing.true_of != NONE
    return [
        count(found, used & right),
        count(found, used & ~right),
        count(true, pairing.found_of == NONE),
    ]


def ratios_of(right: Floats, extra: Floats, missed: Floats) -> dict[str, Floats]:
    """Return precision, recall and F1; NaN where they are undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": right / (right + extra),
            "recall": right / (right + missed),
            "f1": 2 * right / (2 * right + extra + missed),
        }


class _Curve:
    """The detections of a label in the order of their scores."""

    def __init__(
        self, found: Objects, true: Objects, pairing: Pairing, frames: Ints, label: int
    ) -> None:
        chosen = np.flatnonzero(found.label == label)
        chosen = chosen[np.argsort(-found.score[chosen], kind="stable")]
        self._frame = np.searchsorted(frames, found.frame[chosen])
        self._right = (pairing.true_of[chosen] != NONE).astype(np.float64)
        self._true = np.searchsorted(frames, true.frame[true.label == label])

    def average_precisions(self, weights: Floats) -> Floats:
        """Return AP50 for each row of weights; NaN where no true object was drawn."""
        return np.array([self._one(row) for row in weights])

    def _one(self, weights: Floats) -> float:
        count = weights[self._true].sum()
        if not count:
            return np.nan
        weight = weights[self._frame]
        right = np.cumsum(weight * self._right)
        seen = np.cumsum(weight)
        precision = np.divide(right, seen, out=np.zeros_like(right), where=seen > 0)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(right / count, _RECALLS, side="left")
        return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())


def _mean(values: Floats) -> Floats:
    """Return the mean over the labels whose figure is defined."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0)
    return mean


def _add(samples: dict[str, list[Floats]], more: Mapping[str, Floats]) -> None:
    for name, values in more.items():
        samples.setdefault(name, []).append(values)
