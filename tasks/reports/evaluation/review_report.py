"""The report about uploaded annotations: how much of them people kept."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from attrs import asdict, field, fields, frozen

from cvat_flows.tasks.evaluate.acceptance.review import ReviewRow
from cvat_flows.tasks.evaluate.acceptance.tally import WHATS, Tally, tally, week_of
from cvat_flows.tasks.evaluate.quality.measurement import Measurement
from cvat_flows.tasks.model.text import counted, escape_markdown, table
from cvat_flows.tasks.reports.charts import chart_uri
from cvat_flows.tasks.reports.evaluation.csv_file import to_csv
from cvat_flows.tasks.reports.evaluation.history import HistoryReport, history_section
from cvat_flows.tasks.reports.evaluation.report import number
from cvat_flows.tasks.reports.evaluation.trend import trend_chart

HEADINGS = (
    "label", "uploaded", "kept", "moved", "mean IoU", "relabelled", "attributes", "unclear",
    "deleted", "added", "precision", "recall",
)  # fmt: skip
_WORDS = {
    "moved": "moved",
    "relabelled": "relabelled",
    "attributes": "with other attributes",
    "unclear": "changed in an unclear way",
    "deleted": "deleted",
    "added": "added",
}
"""How the sentence says what became of annotations."""
_RARE = ("attributes", "unclear")
"""The sentence says these only if there are any."""
_TABLES = (
    ("label", "uploaded", "precision", "recall", "mean IoU"),
    ("label", "kept", "moved", "relabelled", "attributes", "unclear", "deleted", "added"),
)
"""The columns of the tables on the page."""
_MAX_LABELS = 60
_MEANINGS = (
    ("kept", "unchanged, to a hundredth of a pixel"),
    ("moved", "at least half like the uploaded one, also if it was drawn again"),
    ("relabelled", "in its place, with another label"),
    ("attributes", "changed in its attributes, but neither in its place nor in its label"),
    ("unclear", "changed, but it is not known how: name the function that was used"),
    ("deleted", "gone, and nothing like it was drawn in its place"),
    ("added", "drawn by people, and not uploaded"),
    ("precision", "kept, moved, attributes and unclear, as a share of the uploaded ones"),
    ("recall", "the same as a share of what is there now"),
)


@frozen(kw_only=True, eq=False)
class ReviewReport:
    """What became of uploaded annotations.

    Attributes:
        title: What was reviewed, for example a task.
        rows: A row for each annotation.
        notes: What was left out, a sentence each.
        late: Frames that were left out because they were annotated after people had finished
            their jobs.
        history: The kept figures of earlier reviews and of this one.
        files: Titles and paths of files in the storage.
    """

    title: str
    rows: Sequence[ReviewRow] = field(repr=False)
    notes: tuple[str, ...] = ()
    late: int = 0
    history: Sequence[Measurement] = field(default=(), repr=False)
    files: list[tuple[str, str]] = field(factory=list)

    @property
    def overall(self) -> Tally:
        """All annotations."""
        return tally(self.rows, lambda row: "").get("", Tally())

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        overall = self.overall
        rest = ", ".join(
            f"{overall.counts[what]:,} {words}"
            for what, words in _WORDS.items()
            if overall.counts[what] or what not in _RARE
        )
        return (
            f"{overall.counts['kept']:,} of {counted(overall.uploaded, 'uploaded annotation')} "
            f"kept, {rest}; precision {number(overall.precision)}, recall {number(overall.recall)}"
        )

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.notes

    def by_label(self) -> Mapping[str, Tally]:
        """Return the numbers by label, of the labels with most uploads first."""
        groups = tally(self.rows, lambda row: row.label, arrives=lambda row: row.new_label)
        return dict(sorted(groups.items(), key=lambda one: (-one[1].uploaded, one[0])))

    @property
    def remark(self) -> str:
        """What is said of the frames that are left out; "" if there are none."""
        if not self.late:
            return ""
        return (
            f"{counted(self.late, 'frame')} left out: annotated after people had finished the job, "
            "which nobody has changed since."
        )

    def by_week(self) -> Mapping[str, Tally]:
        """Return the numbers by the week of the upload, without what people added."""
        uploaded = (row for row in self.rows if row.uploaded)
        return dict(sorted(tally(uploaded, lambda row: week_of(row.uploaded)).items()))

    def table(self) -> list[tuple[str, ...]]:
        """Return the table of the numbers, with a last row for all labels."""
        groups = [*self.by_label().items(), ("all", self.overall)]
        return [(name, *_cells(one)) for name, one in groups]


def _cells(one: Tally) -> tuple[str, ...]:
    counts = one.counts
    return (
        f"{one.uploaded:,}",
        f"{counts['kept']:,}",
        f"{counts['moved']:,}",
        number(one.mean_moved),
        *(
            f"{counts[what]:,}"
            for what in ("relabelled", "attributes", "unclear", "deleted", "added")
        ),
        number(one.precision),
        number(one.recall),
    )


def review_markdown(report: ReviewReport) -> str:
    """Make the page of a review."""
    rows = report.table()
    shown = rows if len(rows) <= _MAX_LABELS + 1 else [*rows[:_MAX_LABELS], rows[-1]]
    weeks = report.by_week()
    trend = {week: one.precision for week, one in weeks.items() if one.precision is not None}
    parts = [
        f"## What became of the annotations of {escape_markdown(report.title, 200)}",
        f"**{escape_markdown(report.sentence)}**",
        "\n".join(f"- {escape_markdown(note, 500)}" for note in report.notes),
        report.remark,
        *(_columns(shown, names) for names in _TABLES),
        f"![precision by week of upload]({chart_uri(trend_chart(trend))})" if trend else "",
        *history_section(HistoryReport(title="", measurements=report.history)),
        table(["word", "meaning"], _MEANINGS),
    ]
    return "\n\n".join(part for part in parts if part)


def _columns(rows: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    """Make a table of some columns, because Prefect's page has no room for all."""
    places = [HEADINGS.index(name) for name in names]
    return table(
        names, [(escape_markdown(row[0], 80), *(row[n] for n in places[1:])) for row in rows]
    )


def review_csv(report: ReviewReport) -> bytes:
    """Return the numbers by week, task, function and label."""
    groups = tally(
        report.rows,
        lambda row: (
            week_of(row.uploaded) if row.uploaded else "",
            row.task_id,
            row.function,
            row.label,
        ),
    )
    return to_csv(
        ("week", "task", "function", "label", *WHATS, "precision", "mean_iou"),
        (
            [*key, *(one.counts[what] for what in WHATS), one.precision, one.mean_moved]
            for key, one in sorted(groups.items())
        ),
    )


def review_parquet(report: ReviewReport) -> bytes:
    """Return a row for each annotation, for dashboards."""
    import pandas as pd

    columns = [one.name for one in fields(ReviewRow)]
    file = io.BytesIO()
    frame = pd.DataFrame([asdict(row) for row in report.rows], columns=columns)
    frame.to_parquet(file, index=False)
    return file.getvalue()
