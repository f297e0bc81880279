"""Decide whether a version of a function is as good as a rule wants it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from attrs import field, frozen

from cvat_flows.tasks.evaluate.counts import Counts, add_counts
from cvat_flows.tasks.evaluate.quality.measurement import ALL, Kind, Measurement
from cvat_flows.tasks.model.text import counted

MIN_OBJECTS = 50
"""With fewer objects a share of 0.9 is uncertain by more than 0.08."""
MeasuredBy = Literal["any", "review", "evaluation"]
_OBJECTS: Mapping[tuple[Kind, str], str] = {
    ("review", "precision"): "uploaded annotation",
    ("review", "recall"): "annotation",
    ("evaluation", "precision"): "detection",
    ("evaluation", "recall"): "true object",
}


@frozen(kw_only=True)
class Gate:
    """What a rule wants of a function.

    Attributes:
        min_precision: The least precision by label of the task; `*` is all labels together.
        min_recall: The same for the recall.
        min_objects: On how many objects at least a figure must have been measured.
        measured_by: What counts. `any`: the review if it has enough objects, else evaluations.
    """

    min_precision: Mapping[str, float] = field(factory=dict)
    min_recall: Mapping[str, float] = field(factory=dict)
    min_objects: int = MIN_OBJECTS
    measured_by: MeasuredBy = "any"

    def __bool__(self) -> bool:
        return bool(self.min_precision or self.min_recall)

    @property
    def labels(self) -> set[str]:
        """The labels that it names."""
        return {*self.min_precision, *self.min_recall} - {ALL}


@frozen(kw_only=True)
class GateVerdict:
    """The result of a gate: one sentence for each figure."""

    passed: Sequence[str] = ()
    failed: Sequence[str] = ()
    """Figures that are too low, or cannot be judged."""

    def __bool__(self) -> bool:
        return not self.failed

    def __str__(self) -> str:
        return "; ".join(self.failed or self.passed)


def judge_gate(gate: Gate, measurements: Sequence[Measurement], *, how: str) -> GateVerdict:
    """Decide by what was measured of one version. What cannot be judged has failed.

    Args:
        gate: What is wanted.
        measurements: Its newest review, and its newest evaluation on each task.
        how: What to run if nothing was measured.

    >>> from cvat_flows.tasks.evaluate.quality.measurement import Version
    >>> measured = Measurement(
    ...     kind="evaluation",
    ...     version=Version(fingerprint="f1", options="o1"),
    ...     function="cars",
    ...     when="2026-12-01T02:00:00+00:00",
    ...     about="task 12",
    ...     overall=Counts(right=80, extra=20),
    ...     labels={"car": Counts(right=80, extra=20)},
    ... )
    >>> print(judge_gate(Gate(min_precision={"car": 0.9}), [measured], how=""))
    the precision of 'car' is 0.800, wanted 0.900, on 100 detections (evaluation of 2026-12-01)
    """
    known = [one for one in measurements if gate.measured_by in ("any", one.kind)]
    if not known:
        by = "" if gate.measured_by == "any" else f" by {_article(gate.measured_by)}"
        return GateVerdict(
            failed=[f"this version was never measured{by} with these options: {how}"]
        )
    passed: list[str] = []
    failed: list[str] = []
    for name, label, wanted in _figures(gate):
        is_good, text = _judge(gate, known, name, label, wanted)
        (passed if is_good else failed).append(text)
    return GateVerdict(passed=passed, failed=failed)


def _figures(gate: Gate) -> Iterator[tuple[str, str, float]]:
    for label, wanted in gate.min_precision.items():
        yield "precision", label, wanted
    for label, wanted in gate.min_recall.items():
        yield "recall", label, wanted


def _judge(
    gate: Gate, measurements: Sequence[Measurement], name: str, label: str, wanted: float
) -> tuple[bool, str]:
    """Return whether a figure is high enough, and a sentence about it."""
    what = f"the {name} of {'all labels' if label == ALL else repr(label)}"
    most, most_kind = 0, measurements[0].kind
    kinds: tuple[Kind, ...] = ("review", "evaluation")
    for kind in kinds:
        own = [one for one in measurements if one.kind == kind]
        counts = add_counts(one.of(label) for one in own)
        value = counts.precision if name == "precision" else counts.recall
        objects = _objects(counts, name)
        if value is None or objects < gate.min_objects:
            if objects > most:
                most, most_kind = objects, kind
            continue
        date = max(one.date for one in own)
        # What is too low is not rounded up to what is wanted.
        shown = value if value >= wanted else math.floor(value * 1000) / 1000
        text = (
            f"{what} is {shown:.3f}, wanted {wanted:.3f}, on "
            f"{counted(objects, _OBJECTS[kind, name])} ({kind} of {date})"
        )
        return value >= wanted, text
    return False, (
        f"{what} cannot be judged, wanted {wanted:.3f}: it was measured on "
        f"{counted(most, _OBJECTS[most_kind, name])}, and min_objects is {gate.min_objects}"
    )


def _objects(counts: Counts, name: str) -> int:
    return counts.detected if name == "precision" else counts.true


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "ae" else f"a {kind}"
