"""The preview of a run in markdown: what it would write to CVAT, with pictures, and why."""

from __future__ import annotations

from collections.abc import Sequence

from cvat_flows.tasks.matching.result import MISMATCHES
from cvat_flows.tasks.model.text import counted, escape_markdown
from cvat_flows.tasks.reports.pictures.samples import Sample
from cvat_flows.tasks.reports.run_markdown import report_markdown
from cvat_flows.tasks.reports.run_report import RunReport

MAX_FRAMES = 60
MAX_MATCHES = 200
_MAX_PICTURES = 12


def preview_markdown(
    report: RunReport, samples: Sequence[Sample], *, files: Sequence[tuple[str, str]] = ()
) -> str:
    """Make the report of a dry run: also what it would do to each frame, and the label match.

    Its length is limited, like that of the report.
    """
    step = -(-len(samples) // _MAX_PICTURES) or 1
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
        for row in rows[:MAX_FRAMES]
    ]
    if len(rows) > MAX_FRAMES:
        lines += ["", f"and {counted(len(rows) - MAX_FRAMES, 'more frame')}"]
    return "\n".join(lines)


def _match(report: RunReport) -> str:
    lines = ["| | function | type | task | type | |", "|---" * 6 + "|"]
    for row in report.match[:MAX_MATCHES]:
        status = escape_markdown(row.message or row.status, 200)
        cells = [
            row.kind,
            escape_markdown(row.function or "-", 80),
            escape_markdown(row.function_type or "", 40),
            escape_markdown(row.task or "-", 80),
            escape_markdown(row.task_type or "", 40),
            f"**{status}**" if row.status in MISMATCHES else status,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if len(report.match) > MAX_MATCHES:
        lines += ["", f"and {len(report.match) - MAX_MATCHES:,} more"]
    return "\n".join(lines)
