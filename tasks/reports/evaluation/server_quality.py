"""CVAT's own quality report beside an evaluation."""

from __future__ import annotations

from cvat_flows.tasks.cvat.quality import QualityReport
from cvat_flows.tasks.evaluate.counts import Counts
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import escape_markdown, link, table

DASH = "-"


def quality_url(media: TaskMedia) -> str:
    """Return the address of CVAT's page about the quality of a task."""
    return f"{media.task_url}/quality-control"


def quality_sentence(report: QualityReport) -> str:
    """Return what CVAT's report says, in one sentence."""
    figures = ", ".join(
        f"{name} {_text(value)}"
        for name, value in (
            ("accuracy", report.accuracy),
            ("precision", report.precision),
            ("recall", report.recall),
        )
    )
    target = ""
    if report.target_metric and report.target is not None:
        target = f"; its target is {report.target_metric} {report.target:g}"
    return f"{figures} (report {report.id} of {report.day}{target})"


def quality_part(report: QualityReport, counts: Counts, media: TaskMedia) -> list[str]:
    """Return the part of the page that has both, side by side."""
    ours = counts.right + counts.extra + counts.missed
    rows = [
        ("judges", "the function's detections", "the annotations in the task"),
        ("accuracy", _text(counts.right / ours if ours else None), _text(report.accuracy)),
        ("precision", _text(counts.precision), _text(report.precision)),
        ("recall", _text(counts.recall), _text(report.recall)),
    ]
    target = escape_markdown(f"{report.target_metric} {_text(report.target)}", 60)
    return [
        "### CVAT's own quality report",
        f"{link(f'Report {report.id}', quality_url(media))} of "
        f"{escape_markdown(report.day, 40)} compares what people and functions put into the task "
        "with its ground truth. It does not know scores."
        + (f" Its target is {target}." if report.target_metric else ""),
        table(["", "this evaluation", "CVAT's report"], rows),
    ]


def _text(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
