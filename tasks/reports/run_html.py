"""A run's report as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvat_flows.tasks.reports.run_report import RunReport

MAX_FAILED = 10
"""Failed frames with a row. The others are counted."""


def run_html(report: RunReport) -> str:
    """Make the HTML of a report: sentence, counts, annotations by label, failed frames."""
    media = report.media
    facts = [
        ("function", report.function),
        ("annotations", report.annotations),
        ("time", f"{report.seconds:,.1f} s, {report.frames_per_second:,.1f} frames/s"),
    ]
    parts = [
        f'<p><b><a href="{escape(media.task_url)}">Task {media.task_id} · '
        f"{escape(media.name)}</a></b><br>{escape(report.sentence)}</p>",
        _table([], facts),
    ]
    by_label = report.shapes_by_label.most_common()
    if by_label:
        parts.append(_table(["label", "annotations"], [(n, f"{c:,}") for n, c in by_label]))
    failed = report.failed
    if failed:
        rows = [(str(row.frame), row.name, row.step or "", row.error) for row in failed]
        parts.append(_table(["failed frame", "name", "step", "error"], rows[:MAX_FAILED]))
    if len(failed) > MAX_FAILED:
        parts.append(f"<p>and {len(failed) - MAX_FAILED:,} more failed frames</p>")
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row("th", head)] if head else []
    lines += [_row("td", row) for row in rows]
    return "<table>" + "".join(lines) + "</table>"


def _row(cell: str, texts: Sequence[str]) -> str:
    inside = "".join(f"<{cell}>{escape(text)}</{cell}>" for text in texts)
    return f"<tr>{inside}</tr>"
