"""The report about two functions on the same frames."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from cvat_flows.tasks.evaluate.differences import Difference
from cvat_flows.tasks.model.text import counted, escape_markdown, table
from cvat_flows.tasks.reports.evaluation.csv_file import to_csv
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport, number

HEADINGS = ("label", "figure", "one", "other", "difference", "verdict")
_NAMES = {"precision": "precision", "recall": "recall", "f1": "F1", "ap50": "AP50"}


@frozen(kw_only=True, eq=False)
class ComparisonReport:
    """Two functions on the same frames with the same truth.

    Attributes:
        one: The evaluation of the function.
        other: The evaluation of the other function.
        differences: By label id and figure; the label None stands for all labels.
        files: Titles and paths of files in the storage.
    """

    one: EvaluationReport
    other: EvaluationReport
    differences: Mapping[int | None, Mapping[str, Difference]] = field(repr=False)
    files: list[tuple[str, str]] = field(factory=list)

    @property
    def sentence(self) -> str:
        """The result in one sentence: F1 and AP50 of all labels."""
        overall = self.differences[None]
        parts = [f"{_NAMES[name]} {_with_interval(overall[name])}" for name in ("f1", "ap50")]
        return (
            f"{self.other.function} against {self.one.function} on "
            f"{counted(self.one.frame_count, 'frame')}: "
            + ", ".join(
                f"{part}, {overall[name].verdict}"
                for part, name in zip(parts, ("f1", "ap50"), strict=True)
            )
        )

    @property
    def is_complete(self) -> bool:
        """Whether both functions worked on all frames."""
        return self.one.is_complete and self.other.is_complete

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table of the figures, all labels last."""
        return [
            (
                "all" if label is None else self.one.name(label),
                _NAMES[name],
                number(one.one),
                number(one.other),
                _with_interval(one),
                one.verdict,
            )
            for label, figures in self.differences.items()
            for name, one in figures.items()
        ]


def _with_interval(one: Difference) -> str:
    if one.value is None:
        return number(None)
    text = f"{one.value:+.3f}"
    return (
        text
        if one.interval is None
        else f"{text} ({one.interval[0]:+.3f} to {one.interval[1]:+.3f})"
    )


def comparison_markdown(report: ComparisonReport) -> str:
    """Make the page of a comparison."""
    rows = [(escape_markdown(row[0], 80), *row[1:]) for row in report.rows()[-400:]]
    parts = [
        f"## Two functions on {escape_markdown(str(report.one.media), 120)}",
        f"**{escape_markdown(report.sentence, 600)}**",
        f"One: {escape_markdown(report.one.function, 120)}. Other: "
        f"{escape_markdown(report.other.function, 120)}. Truth: "
        f"{escape_markdown(report.one.truth.source, 200)}.",
        table(HEADINGS, rows),
        "In brackets: where the difference is with 95 % certainty. The verdict is that the other "
        "function is better or worse only if the whole interval says so.",
    ]
    return "\n\n".join(parts)


def comparison_csv(report: ComparisonReport) -> bytes:
    """Return the differences as numbers. Undefined ones are empty."""
    return to_csv(
        ("label", "figure", "one", "other", "difference", "low", "high", "verdict"),
        (
            [
                "all" if label is None else report.one.name(label),
                name,
                one.one,
                one.other,
                one.value,
                *(one.interval or (None, None)),
                one.verdict,
            ]
            for label, figures in report.differences.items()
            for name, one in figures.items()
        ),
    )
