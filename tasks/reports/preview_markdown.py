"""The preview of a run in markdown: what it would write to CVAT, with pictures, and why."""

from __future__ import annotations

from collections.abc import Sequence

from cvat_flows.tasks.matching.result import MISMATCHES
from cvat_flows.tasks.model.text import escape_markdown
from cvat_flows.tasks.reports.run_markdown import report_markdown
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.reports.samples import Sample

MOST_FRAMES = 60
MOST_MATCHES = 200


def preview_markdown(
    report: RunReport, samples: Sequence[Sample], *, files: Sequence[tuple[str, str]] = ()
) -> str:
    """The report of a run that wrote nothing: with what it would do to each frame, and the match
    of the labels. Of bounded length, as the report is."""
    step = -(-len(samples) // 12) or 1
    parts = [
        report_markdown(report, samples[::step], files=files, heading="Preview of"),
        "### What would be written",
        _frames(report),
        "### How the labels match",
        _match(report),
    ]
    return "\n\n".join(parts)


def _frames(report: RunReport) -> str:
    rows = [row for _, row in sorted(report.rows.items()) if row.outcome != "skipped"]
    lines = ["| frame | file | shapes | create | keep | delete |", "|---" * 6 + "|"]
    lines += [
        f"| {row.frame} | {escape_markdown(row.name, 60)} "
        f"| {(row.error and 'failed') or row.shapes} | {row.created} | {row.kept} | {row.deleted} |"
        for row in rows[:MOST_FRAMES]
    ]
    if len(rows) > MOST_FRAMES:
        lines += ["", f"and {len(rows) - MOST_FRAMES:,} more frames"]
    return "\n".join(lines)


def _match(report: RunReport) -> str:
    lines = ["| | function | type | task | type | |", "|---" * 6 + "|"]
    for row in report.match[:MOST_MATCHES]:
        said = escape_markdown(row.message or row.status, 200)
        cells = [
            row.kind,
            escape_markdown(row.function or "-", 80),
            escape_markdown(row.function_type or "", 40),
            escape_markdown(row.task or "-", 80),
            escape_markdown(row.task_type or "", 40),
            f"**{said}**" if row.status in MISMATCHES else said,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if len(report.match) > MOST_MATCHES:
        lines += ["", f"and {len(report.match) - MOST_MATCHES:,} more"]
    return "\n".join(lines)
