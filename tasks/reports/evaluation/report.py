"""The report of an evaluation, and its figures as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from cvat_flows.tasks.cvat.quality import QualityReport
from cvat_flows.tasks.evaluate.corrections import RankedFrame, RankedJob
from cvat_flows.tasks.evaluate.counts import Counts
from cvat_flows.tasks.evaluate.evaluation import Evaluation
from cvat_flows.tasks.evaluate.figures import Figures
from cvat_flows.tasks.evaluate.mistakes import Mistake
from cvat_flows.tasks.evaluate.predictions import Predictions
from cvat_flows.tasks.evaluate.quality.measurement import Measurement
from cvat_flows.tasks.evaluate.thresholds import Curve, Suggestion
from cvat_flows.tasks.evaluate.truth.truth import Truth
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import counted, on_one_line

DASH = "-"
"""What stands for a figure that is undefined."""
HEADINGS = ("label", "true", "detected", "precision", "recall", "F1", "AP50", "AP50-95")
INTERVAL_HEADINGS = ("label", "precision", "recall", "F1", "AP50")
NOTHING = "nothing"
"""The name of the column of objects that were not found, and of the row of extra detections."""


@frozen(kw_only=True, eq=False)
class EvaluationReport:
    """An evaluation, with what people need to know about it.

    Attributes:
        media: The CVAT task.
        function: Name of the function.
        fingerprint: Of the function; None if its version is unknown.
        truth: What the detections were compared with.
        predictions: What the function detected.
        evaluation: The figures.
        labels: Names of the task's labels by id.
        parameters: The options that are not the defaults.
        iou: How alike a detection and a true object must be to belong together.
        curves: Precision and recall over thresholds, by label of the function.
        suggestions: Thresholds, by label of the function.
        suggested_for: What they reach, for people.
        ranked: Frames that need corrections, those that need most first.
        ranked_jobs: The same for jobs.
        mistakes: Likely mistakes of people.
        history: The kept figures of earlier evaluations on the task and of this one.
        server_quality: CVAT's own quality report; None if there is none.
        files: Titles and paths of files in the storage.
    """

    media: TaskMedia
    function: str
    fingerprint: str | None
    truth: Truth = field(repr=False)
    predictions: Predictions = field(repr=False)
    evaluation: Evaluation = field(repr=False)
    labels: Mapping[int, str]
    parameters: Mapping[str, Any]
    iou: float
    curves: Mapping[str, Curve] = field(factory=dict, repr=False)
    suggestions: Mapping[str, Suggestion] = field(factory=dict, repr=False)
    suggested_for: str = ""
    ranked: Sequence[RankedFrame] = field(default=(), repr=False)
    ranked_jobs: Sequence[RankedJob] = field(default=(), repr=False)
    mistakes: Sequence[Mistake] = field(default=(), repr=False)
    history: Sequence[Measurement] = field(default=(), repr=False)
    server_quality: QualityReport | None = None
    files: list[tuple[str, str]] = field(factory=list)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        overall = self.evaluation.overall
        return (
            f"precision {number(overall.counts.precision)}, recall "
            f"{number(overall.counts.recall)}, F1 {number(overall.counts.f1)}, AP50 "
            f"{number(overall.ap50)} on {counted(self.frame_count, 'frame')}"
        )

    @property
    def is_complete(self) -> bool:
        """Whether the function worked on all frames."""
        return not self.predictions.failed

    @property
    def frame_count(self) -> int:
        """Number of evaluated frames."""
        return len(self.evaluation.comparison.frames)

    def name(self, label: int | None) -> str:
        """Return the name of a label; "nothing" for None."""
        return NOTHING if label is None else on_one_line(self.labels[label], 80)

    def frame_url(self, frame: int) -> str:
        """Return the address that opens a frame in CVAT."""
        return self.media.frame_url(self.media.frame(frame))

    def frame_name(self, frame: int) -> str:
        """Return the file name of a frame."""
        return on_one_line(self.media.frame(frame).name, 120)

    def labelled(self) -> list[tuple[str, Figures]]:
        """Return the figures by name, of the labels with most true objects first."""
        rows = [(self.name(label), one) for label, one in self.evaluation.by_label.items()]
        return sorted(rows, key=lambda row: (-row[1].counts.true, row[0]))

    def rows(self, *, intervals: bool = True) -> list[tuple[str, ...]]:
        """Return the table of the figures, with a last row for all labels."""
        groups = [*self.labelled(), ("all", self.evaluation.overall)]
        return [(name, *_cells(one, intervals=intervals)) for name, one in groups]

    def interval_rows(self) -> list[tuple[str, ...]]:
        """Return the table of the intervals, in the order of `rows`; nothing if there are none."""
        groups = [*self.labelled(), ("all", self.evaluation.overall)]
        if not any(one.intervals for _, one in groups):
            return []
        names = ("precision", "recall", "f1", "ap50")
        return [(name, *(_interval(one, figure) for figure in names)) for name, one in groups]

    def notes(self) -> list[str]:
        """Return what a reader must know to judge the figures, a sentence each."""
        notes = [*self.truth.notes]
        failed = self.predictions.failed
        if failed:
            number, error = next(iter(failed.items()))
            notes.append(
                f"the function failed on {counted(len(failed), 'frame')}, which are not evaluated; "
                f"the first is {number}: {on_one_line(error, 200)}"
            )
        notes += [
            f"{counted(count, f'detected {kind}', f'detected {kind}s')} cannot be compared"
            for kind, count in self.predictions.not_compared.items()
        ]
        unseen = [name for name, one in self.labelled() if not one.counts.true]
        if unseen:
            notes.append(
                f"the truth has no {', '.join(unseen[:5])}: detections of it count as extra. If "
                "people do not annotate it, drop it with --label-mapping"
            )
        return notes


def number(value: float | None) -> str:
    """Return a figure as text; a dash if it is undefined.

    >>> number(0.91234), number(None)
    ('0.912', '-')
    """
    return DASH if value is None else f"{value:.3f}"


def _cells(figures: Figures, *, intervals: bool) -> tuple[str, ...]:
    counts = figures.counts
    text = _with_interval if intervals else _without_interval
    return (
        f"{counts.true:,}",
        f"{counts.detected:,}",
        text(counts.precision, figures, "precision"),
        text(counts.recall, figures, "recall"),
        text(counts.f1, figures, "f1"),
        text(figures.ap50, figures, "ap50"),
        number(figures.ap50_95),
    )


def _with_interval(value: float | None, figures: Figures, name: str) -> str:
    interval = figures.intervals.get(name)
    if value is None or interval is None:
        return number(value)
    return f"{number(value)} ({interval[0]:.2f}-{interval[1]:.2f})"


def _interval(figures: Figures, name: str) -> str:
    interval = figures.intervals.get(name)
    return DASH if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _without_interval(value: float | None, figures: Figures, name: str) -> str:
    return number(value)


def size_rows(by_size: Mapping[str, Counts]) -> list[tuple[str, ...]]:
    """Return the table of the figures by the size of the objects."""
    return [
        (
            name,
            f"{one.true:,}",
            f"{one.detected:,}",
            number(one.precision),
            number(one.recall),
            number(one.f1),
        )
        for name, one in by_size.items()
    ]
