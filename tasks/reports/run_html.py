"""A run's report as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.reports.table import FrameRow

MAX_FAILED = 10
"""Failed frames with a row. The others are counted."""


def run_html(
    media: TaskMedia,
    sentence: str,
    facts: Iterable[tuple[str, str]],
    by_label: Mapping[str, int],
    failed: Sequence[FrameRow],
) -> str:
    """Make the HTML of a report: sentence, facts, annotations by label, failed frames."""
    parts = [
        f'<p><b><a href="{escape(media.task_url)}">Task {media.task_id} · '
        f"{escape(media.name)}</a></b><br>{escape(sentence)}</p>",
        _table([], facts),
    ]
    if by_label:
        counts = [(name, f"{count:,}") for name, count in by_label.items()]
        parts.append(_table(["label", "annotations"], counts))
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
