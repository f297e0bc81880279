"""Is one function better than another on the same frames? The difference, and how certain it is."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from cvat_flows.tasks.evaluate.compare.objects import Floats
from cvat_flows.tasks.evaluate.compare.pairing import pair_up
from cvat_flows.tasks.evaluate.evaluation import DEFAULT_LIKENESS, Comparison, Evaluation
from cvat_flows.tasks.evaluate.figures import Figures
from cvat_flows.tasks.evaluate.intervals import Interval, interval_of, sample_figures

FIGURES = ("precision", "recall", "f1", "ap50")


@frozen(kw_only=True)
class Difference:
    """A figure of two functions.

    >>> Difference(one=0.8, other=0.9, interval=(0.05, 0.15)).verdict
    'better'
    """

    one: float | None
    other: float | None
    interval: Interval | None = None
    """Where the difference (other minus one) is with 95 % certainty."""

    @property
    def value(self) -> float | None:
        """By how much the figure of the other function is higher; None if it is undefined."""
        return None if self.one is None or self.other is None else self.other - self.one

    @property
    def verdict(self) -> str:
        """Whether the other function is `better` or `worse`, or the difference is `not certain`."""
        if self.interval is None:
            return "not certain"
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "not certain"


def differences(one: Evaluation, other: Evaluation) -> dict[int | None, dict[str, Difference]]:
    """Return the differences by label and figure; the label None stands for all labels.

    Both evaluations must be about the same frames and the same truth. Frames are drawn for both
    functions at once, so what makes a frame hard does not count as a difference.
    """
    samples, others = _samples(one.comparison), _samples(other.comparison)
    result: dict[int | None, dict[str, Difference]] = {}
    for label in [*sorted({*one.by_label, *other.by_label}), None]:
        figures, other_figures = _figures(one, label), _figures(other, label)
        result[label] = {}
        for name in FIGURES:
            drawn = samples.get(label, {}).get(name)
            other_drawn = others.get(label, {}).get(name)
            known = drawn is not None and other_drawn is not None
            result[label][name] = Difference(
                one=figures.get(name),
                other=other_figures.get(name),
                interval=interval_of(np.subtract(other_drawn, drawn)) if known else None,  # type: ignore[arg-type]
            )
    return result


def _samples(comparison: Comparison) -> dict[int | None, dict[str, Floats]]:
    found, true = comparison.found, comparison.true
    return sample_figures(
        found,
        true,
        pairing=comparison.pairing,
        used=comparison.used,
        all_pairing=pair_up(found, true, comparison.pairs, DEFAULT_LIKENESS),
        frames=comparison.frames,
    )


def _figures(evaluation: Evaluation, label: int | None) -> dict[str, float | None]:
    figures: Figures | None = (
        evaluation.overall if label is None else evaluation.by_label.get(label)
    )
    if figures is None:
        return {}
    counts = figures.counts
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "ap50": figures.ap50,
    }
