"""Kept figures over time: by label and by the day on which they were measured."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import field, frozen

from aa_functions.installed import short_name
from cvat_flows.tasks.evaluate.counts import Counts
from cvat_flows.tasks.evaluate.quality.measurement import Kind, Measurement
from cvat_flows.tasks.model.text import escape_markdown, on_one_line, table
from cvat_flows.tasks.reports.charts import chart_uri
from cvat_flows.tasks.reports.evaluation.csv_file import to_csv
from cvat_flows.tasks.reports.evaluation.report import DASH, number
from cvat_flows.tasks.reports.evaluation.trend import lines_chart

MAX_DATES = 8
"""Columns of a table, the newest days. The files have them all."""
MAX_LINES = 6
"""Labels in a chart, those with most objects; all labels together are one of them."""
_MAX_SERIES = 6
_MAX_LABELS = 30
_COLUMNS = (
    "when", "measured_by", "about", "function", "fingerprint", "options", "label",
    "right", "extra", "missed", "precision", "recall",
)  # fmt: skip


@frozen(kw_only=True, eq=False)
class Series:
    """The measurements of a function in one place, one for each day.

    If several versions were measured on a day, it is the one with most objects.
    """

    kind: Kind
    function: str
    about: str
    days: Sequence[Measurement] = field(repr=False)
    """The oldest first."""

    @property
    def title(self) -> str:
        """What was measured, for people."""
        return f"{short_name(self.function)}, {self.kind} of {self.about}"

    @property
    def labels(self) -> list[str]:
        """The labels, those with most objects on all days first."""
        totals: dict[str, int] = {}
        for day in self.days:
            for label, counts in day.labels.items():
                totals[label] = totals.get(label, 0) + counts.detected + counts.missed
        return sorted(totals, key=lambda label: (-totals[label], label))

    def headings(self) -> tuple[str, ...]:
        """Return the headings of `rows`: the newest days."""
        return ("label", *(day.date for day in self._shown))

    def rows(self) -> list[tuple[str, ...]]:
        """Return precision / recall by label and day, with rows for the objects and versions."""
        shown = self._shown
        rows = [
            (label, *(_cell(day.labels.get(label)) for day in shown))
            for label in self.labels[:_MAX_LABELS]
        ]
        return [
            *rows,
            ("all", *(_cell(day.overall) for day in shown)),
            ("objects", *(f"{day.overall.detected:,}" for day in shown)),
            ("version", *(str(day.version) for day in shown)),
        ]

    def lines(self) -> dict[str, list[float | None]]:
        """Return the precision over the days, of all labels and those with most objects."""
        lines = {"all": [day.overall.precision for day in self.days]}
        for label in self.labels[: MAX_LINES - 1]:
            lines[on_one_line(label, 30)] = [
                day.labels.get(label, Counts()).precision for day in self.days
            ]
        return lines

    @property
    def _shown(self) -> Sequence[Measurement]:
        return self.days[-MAX_DATES:]


@frozen(kw_only=True, eq=False)
class HistoryReport:
    """Kept figures over time.

    Attributes:
        title: Which figures they are.
        measurements: The oldest first.
    """

    title: str
    measurements: Sequence[Measurement] = field(repr=False)

    def series(self) -> list[Series]:
        """Return the measurements by function and place, those measured last first."""
        groups: dict[tuple[Kind, str, str], dict[str, Measurement]] = {}
        for one in self.measurements:
            days = groups.setdefault((one.kind, one.function, one.about), {})
            known = days.get(one.date)
            if known is None or one.overall.detected >= known.overall.detected:
                days[one.date] = one
        found = [
            Series(
                kind=kind,
                function=function,
                about=about,
                days=[days[date] for date in sorted(days)],
            )
            for (kind, function, about), days in groups.items()
        ]
        return sorted(found, key=lambda one: (one.days[-1].date, one.title), reverse=True)

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each measurement and label, as the files have them."""
        for one in self.measurements:
            for label, counts in (*one.labels.items(), ("all", one.overall)):
                yield dict(
                    zip(
                        _COLUMNS,
                        (
                            one.when, one.kind, one.about, one.function,
                            one.version.fingerprint, one.version.options, label,
                            counts.right, counts.extra, counts.missed,
                            counts.precision, counts.recall,
                        ),
                        strict=True,
                    )
                )  # fmt: skip


def history_section(report: HistoryReport, *, least_days: int = 2) -> list[str]:
    """Return the parts of a page about the history: a chart and a table for each series.

    Series of fewer days are left out.
    """
    series = [one for one in report.series() if len(one.days) >= least_days][:_MAX_SERIES]
    if not series:
        return []
    parts = ["### Over time"]
    for one in series:
        chart = chart_uri(lines_chart([day.date for day in one.days], one.lines()))
        parts += [
            f"**{escape_markdown(one.title, 200)}**",
            f"![precision by day]({chart})",
            table(one.headings(), [(escape_markdown(row[0], 80), *row[1:]) for row in one.rows()]),
        ]
    return [*parts, "Precision / recall of each label, and the version that was measured."]


def history_markdown(report: HistoryReport) -> str:
    """Make a page of the history alone."""
    heading = f"## {escape_markdown(report.title, 200)}"
    return "\n\n".join(
        [heading, *(history_section(report, least_days=1) or ["Nothing was measured yet."])]
    )


def history_csv(report: HistoryReport) -> bytes:
    """Return the points for spreadsheets. Undefined figures are empty."""
    return to_csv(_COLUMNS, ([*point.values()] for point in report.points()))


def history_parquet(report: HistoryReport) -> bytes:
    """Return the points for dashboards."""
    import pandas as pd

    file = io.BytesIO()
    pd.DataFrame(list(report.points()), columns=list(_COLUMNS)).to_parquet(file, index=False)
    return file.getvalue()


def history_files(report: HistoryReport) -> dict[str, bytes]:
    """Return the files of a history by name."""
    return {
        "history.csv": history_csv(report),
        "history.parquet": history_parquet(report),
        "history.md": history_markdown(report).encode("utf-8", "replace"),
    }


def _cell(counts: Counts | None) -> str:
    if counts is None:
        return DASH
    return f"{number(counts.precision)} / {number(counts.recall)}"
