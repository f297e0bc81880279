"""Suggest a threshold of the score for each label.

All detections of a label are sorted by score. Each score is a possible threshold: it has the
precision and recall of the detections at or above it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
from attrs import frozen

from cvat_flows.tasks.evaluate.compare.objects import Floats, Ints, Objects
from cvat_flows.tasks.evaluate.compare.pairing import NONE, Pairing
from cvat_flows.tasks.model.text import on_one_line

MIN_DETECTIONS = 10
"""With fewer detections of a label, nothing is suggested."""
_Z = 1.645
"""Of an interval whose lower end holds with 95 % certainty."""


@frozen(kw_only=True, eq=False)
class Curve:
    """Precision and recall of a label over thresholds.

    Attributes:
        threshold: Scores, descending: the detections with at least this score are used.
        used: How many these are.
        precision: The share of them that is right.
        recall: The share of the true objects that they found; NaN without true objects.
    """

    threshold: Floats
    used: Ints
    precision: Floats
    recall: Floats

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall; 0 where both are 0."""
        both = self.precision + self.recall
        product = 2 * self.precision * self.recall
        f1: Floats = np.divide(product, both, out=np.zeros(len(both)), where=both > 0)
        return f1


@frozen(kw_only=True)
class Suggestion:
    """A threshold for a label, and the precision and recall that it had on the evaluated frames."""

    threshold: float | None = None
    """None if nothing can be suggested."""
    precision: float | None = None
    recall: float | None = None
    reason: str = ""
    """Why nothing can be suggested."""


def curve_of(found: Objects, true: Objects, pairing: Pairing, label: int) -> Curve:
    """Return the curve of a label. `pairing` must be of all detections, whatever their score."""
    of_label = np.flatnonzero(found.label == label)
    order = of_label[np.argsort(-found.score[of_label], kind="stable")]
    scores = found.score[order]
    right = np.cumsum(pairing.true_of[order] != NONE)
    # Detections with the same score are used together.
    last = np.flatnonzero(np.diff(scores, append=-1.0) != 0)
    count = int((true.label == label).sum())
    return Curve(
        threshold=scores[last],
        used=last + 1,
        precision=right[last] / (last + 1),
        recall=right[last] / count if count else np.full(len(last), np.nan),
    )


def suggest(curve: Curve, *, min_precision: float | None = None) -> Suggestion:
    """Return the lowest threshold with the wanted precision, else the one with the best F1.

    The precision must hold with 95 % certainty (the lower end of Wilson's interval), so that the
    threshold keeps its promise on other frames.
    """
    detections = int(curve.used[-1]) if len(curve.used) else 0
    if detections < MIN_DETECTIONS:
        return Suggestion(reason=f"fewer than {MIN_DETECTIONS} detections")
    if np.isnan(curve.recall).all():
        return Suggestion(reason="no true object")
    if min_precision is None:
        return _at(curve, int(np.argmax(curve.f1)))
    good = np.flatnonzero(_lower_end(curve.precision, curve.used) >= min_precision)
    if not len(good):
        return Suggestion(reason=f"no threshold has a precision of {min_precision:g} for certain")
    return _at(curve, int(good[-1]))


def _at(curve: Curve, place: int) -> Suggestion:
    lower = float(curve.threshold[place + 1]) if place + 1 < len(curve.threshold) else -1.0
    return Suggestion(
        threshold=_short(float(curve.threshold[place]), above=lower),
        precision=float(curve.precision[place]),
        recall=float(curve.recall[place]),
    )


def _short(value: float, *, above: float) -> float:
    """Return the number with the fewest decimals that is at most `value` and above another one."""
    for decimals in range(2, 12):
        short = math.floor(value * 10.0**decimals) / 10.0**decimals
        if short > above:
            return short
    return value


def _lower_end(share: Floats, count: Ints) -> Floats:
    """Return the lower end of Wilson's interval of a share of a number of trials."""
    centre = share + _Z**2 / (2 * count)
    spread = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    end: Floats = (centre - spread) / (1 + _Z**2 / count)
    return end


def thresholds_yaml(suggestions: Mapping[str, Suggestion], *, title: str) -> str:
    """Return the file that `label_thresholds` reads. Labels without a suggestion are comments.

    >>> sure = Suggestion(threshold=0.4, precision=0.95, recall=0.8)
    >>> print(thresholds_yaml({"car": sure}, title="best F1"), end="")
    # best F1
    "car": 0.4  # precision 0.950, recall 0.800
    """
    lines = [f"# {on_one_line(title, 300)}"]
    for name, one in sorted(suggestions.items()):
        quoted = json.dumps(name, ensure_ascii=False)
        if one.threshold is None:
            lines.append(f"# {on_one_line(quoted, 200)}: {one.reason}")
        else:
            figures = f"precision {one.precision:.3f}, recall {one.recall:.3f}"
            lines.append(f"{quoted}: {one.threshold:g}  # {figures}")
    return "\n".join(lines) + "\n"
