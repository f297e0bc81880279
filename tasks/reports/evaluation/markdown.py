"""The report of an evaluation in markdown."""

from __future__ import annotations

from cvat_flows.tasks.model.text import counted, escape_markdown, link, table
from cvat_flows.tasks.reports.evaluation.report import (
    HEADINGS,
    EvaluationReport,
    number,
    size_rows,
)

MAX_LABELS = 100
MAX_CONFUSED = 12
"""Labels in the table of confusion: the largest ones."""


def evaluation_markdown(report: EvaluationReport) -> str:
    """Make the report: the figures, confusion, sizes, and how to read them."""
    parts = [
        f"## Evaluation of {escape_markdown(report.function, 120)} on "
        f"{escape_markdown(str(report.media), 120)}",
        f"**{escape_markdown(report.sentence)}**",
        f"**{link('Open the task in CVAT', report.media.task_url)}**",
        _facts(report),
        _notes(report),
        "### By label",
        _labels(report),
        "In brackets: where the figure is with 95 % certainty (bootstrap over images). "
        "A dash: undefined, because there is nothing to count.",
        *_confusion(report),
        *_sizes(report),
    ]
    if report.files:
        parts += ["### Files in the storage", _files(report)]
    return "\n\n".join(part for part in parts if part)


def _facts(report: EvaluationReport) -> str:
    predictions = report.predictions
    mean = report.evaluation.mean_likeness
    facts = [
        ("truth", escape_markdown(report.truth.source, 200)),
        ("frames", f"{report.frame_count:,}, {predictions.cached:,} of them from the cache"),
        ("fingerprint", report.fingerprint or "none: the version is unknown"),
        ("belong together", f"same label, likeness of at least {report.iou:g}"),
        ("mean likeness of right detections", number(mean)),
    ]
    return table(["", ""], facts)


def _notes(report: EvaluationReport) -> str:
    return "\n".join(f"- {escape_markdown(note, 500)}" for note in report.notes())


def _labels(report: EvaluationReport) -> str:
    rows = report.rows()
    shown = rows if len(rows) <= MAX_LABELS + 1 else [*rows[:MAX_LABELS], rows[-1]]
    text = table(HEADINGS, [(escape_markdown(row[0], 80), *row[1:]) for row in shown])
    if len(shown) < len(rows):
        text += f"\n\nand {counted(len(rows) - len(shown), 'more label')}"
    return text


def _confusion(report: EvaluationReport) -> list[str]:
    cells = report.evaluation.confusion
    if not cells:
        return []
    by_label = report.evaluation.by_label
    labels: list[int | None] = []
    labels += sorted(by_label, key=lambda one: -by_label[one].counts.true)[:MAX_CONFUSED]
    labels.append(None)
    names = [escape_markdown(report.name(label), 40) for label in labels]
    rows = [
        [f"**{name}**", *(_cell(cells.get((true, found), 0)) for found in labels)]
        for true, name in zip(labels, names, strict=True)
    ]
    return [
        "### What is taken for what",
        "A row is what people say, a column what the function says.",
        table(["", *names], rows),
    ]


def _cell(count: int) -> str:
    return f"{count:,}" if count else ""


def _sizes(report: EvaluationReport) -> list[str]:
    rows = size_rows(report.evaluation.by_size)
    if not rows:
        return []
    return [
        "### By size",
        "small: below 32 x 32 pixels; large: from 96 x 96 pixels.",
        table(["size", "true", "detected", "precision", "recall", "F1"], rows),
    ]


def _files(report: EvaluationReport) -> str:
    return "\n".join(f"- {title}: `{path}`" for title, path in report.files)
