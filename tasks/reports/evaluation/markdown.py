"""The report of an evaluation in markdown."""

from __future__ import annotations

from collections.abc import Sequence

from cvat_flows.tasks.model.text import counted, escape_markdown, link, table
from cvat_flows.tasks.reports.charts import chart_uri
from cvat_flows.tasks.reports.evaluation.curves import curves_chart
from cvat_flows.tasks.reports.evaluation.gallery import GalleryPicture
from cvat_flows.tasks.reports.evaluation.history import HistoryReport, history_section
from cvat_flows.tasks.reports.evaluation.ranking import MAX_RANKED, ranking_tables
from cvat_flows.tasks.reports.evaluation.report import (
    HEADINGS,
    INTERVAL_HEADINGS,
    EvaluationReport,
    number,
    size_rows,
)
from cvat_flows.tasks.reports.evaluation.server_quality import quality_part
from cvat_flows.tasks.reports.pictures.thumbnails import data_uri

MAX_LABELS = 100
_LEGEND = "Green, names above: people. Orange, names below: the function."
MAX_CURVES = 9
MAX_CONFUSED = 12
"""Labels in the table of confusion: the largest ones."""


def evaluation_markdown(report: EvaluationReport, gallery: Sequence[GalleryPicture] = ()) -> str:
    """Make the report: the figures, thresholds, what to correct first, and mistakes of people."""
    parts = [
        f"## Evaluation of {escape_markdown(report.function, 120)} on "
        f"{escape_markdown(str(report.media), 120)}",
        f"**{escape_markdown(report.sentence)}**",
        f"**{link('Open the task in CVAT', report.media.task_url)}**",
        _facts(report),
        _notes(report),
        "### By label",
        _labels(report),
        "A dash: undefined, because there is nothing to count.",
        *_intervals(report),
        *_server_quality(report),
        *_confusion(report),
        *_sizes(report),
        *_thresholds(report),
        *_correct_first(report, gallery),
        *_mistakes(report),
        *history_section(HistoryReport(title="", measurements=report.history)),
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
        ("fingerprint", (report.fingerprint or "none: the version is unknown")[:28]),
        ("belong together", f"same label, likeness of at least {report.iou:g}"),
        ("mean likeness of right detections", number(mean)),
    ]
    return table(["", ""], facts)


def _notes(report: EvaluationReport) -> str:
    return "\n".join(f"- {escape_markdown(note, 500)}" for note in report.notes())


def _labels(report: EvaluationReport) -> str:
    return _of_labels(HEADINGS, report.rows(intervals=False))


def _intervals(report: EvaluationReport) -> list[str]:
    """Return the part about the intervals, if there are any."""
    rows = report.interval_rows()
    if not rows:
        return []
    return [
        "### How sure are these figures?",
        "Where they are with 95 % certainty (bootstrap over images).",
        _of_labels(INTERVAL_HEADINGS, rows),
    ]


def _of_labels(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a row for each label, of which the last one is for all."""
    shown = rows if len(rows) <= MAX_LABELS + 1 else [*rows[:MAX_LABELS], rows[-1]]
    text = table(headings, [(escape_markdown(row[0], 80), *row[1:]) for row in shown])
    if len(shown) < len(rows):
        text += f"\n\nand {counted(len(rows) - len(shown), 'more label')}"
    return text


def _server_quality(report: EvaluationReport) -> list[str]:
    if report.server_quality is None:
        return []
    return quality_part(report.server_quality, report.evaluation.overall.counts, report.media)


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


def _thresholds(report: EvaluationReport) -> list[str]:
    if not report.suggestions:
        return []
    rows = [
        (
            escape_markdown(name, 80),
            one.reason or f"{one.threshold:g}",
            number(one.precision),
            number(one.recall),
        )
        for name, one in sorted(report.suggestions.items())
    ][:MAX_LABELS]
    names = sorted(report.curves, key=lambda name: -int(report.curves[name].used[-1]))
    curves = {name: report.curves[name] for name in names[:MAX_CURVES]}
    suggested = {name: one.threshold for name, one in report.suggestions.items()}
    chart = chart_uri(curves_chart(curves, suggested))
    return [
        "### Which threshold",
        f"For {escape_markdown(report.suggested_for, 100)}. `thresholds.yaml` has them for "
        "`--label-thresholds`.",
        f"![precision and recall over thresholds]({chart})" if curves else "",
        table(["label of the function", "threshold", "precision", "recall"], rows),
    ]


def _correct_first(report: EvaluationReport, gallery: Sequence[GalleryPicture] = ()) -> list[str]:
    """Return the parts about frames and jobs that need most corrections."""
    if not report.ranked:
        return []
    pictures = [
        f"{link(f'frame {one.ranked.frame}', report.frame_url(one.ranked.frame))}: "
        f"{', '.join(one.ranked.reasons)}\n\n"
        f"![frame {one.ranked.frame}]({data_uri(one.jpeg)})"
        for one in gallery
    ]
    return [
        "### What to correct first",
        f"{counted(len(report.ranked), 'frame')} of {report.frame_count:,} differ from the truth.",
        *ranking_tables(report.media, report.ranked, report.ranked_jobs),
        *([_LEGEND] if pictures else []),
        *pictures,
    ]


def _mistakes(report: EvaluationReport) -> list[str]:
    if not report.mistakes:
        return []
    rows = [
        (
            link(f"frame {one.frame}", report.frame_url(one.frame)),
            one.kind,
            escape_markdown(report.name(one.label), 60),
            "-" if one.true_label is None else escape_markdown(report.name(one.true_label), 60),
            f"{one.score:.2f}",
            ", ".join(f"{value:.0f}" for value in one.box),
        )
        for one in report.mistakes[:MAX_RANKED]
    ]
    return [
        "### Likely mistakes of people",
        f"{counted(len(report.mistakes), 'confident detection')} where people drew nothing "
        "(forgotten) or chose another label.",
        table(["frame", "kind", "detected", "drawn", "score", "box"], rows),
    ]


def _files(report: EvaluationReport) -> str:
    return "\n".join(f"- {title}: `{path}`" for title, path in report.files)
