"""The report of a run, in markdown: what was annotated, how fast, and how to repeat it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cvat_flows.tasks.model.text import code_block, counted, escape_markdown, link, table
from cvat_flows.tasks.reports.charts import bar_chart, chart_uri, histograms
from cvat_flows.tasks.reports.pictures.contact_sheet import contact_sheet
from cvat_flows.tasks.reports.pictures.samples import Sample
from cvat_flows.tasks.reports.pictures.thumbnails import data_uri
from cvat_flows.tasks.reports.run_report import RunReport

MAX_LABELS = 12
"""Labels in a chart. The others share one bar."""
_MAX_HISTOGRAMS = 9
_BINS = 20


def report_markdown(
    report: RunReport,
    samples: Sequence[Sample],
    *,
    files: Sequence[tuple[str, str]] = (),
    heading: str = "Annotated",
) -> str:
    """Make the report of a run. It is limited to about 75 KB, most of it the contact sheet.

    Args:
        report: The run.
        samples: Frames for the contact sheet.
        files: Titles and paths of files about the run in the storage.
        heading: First word of the heading.
    """
    media = report.media
    parts = [
        f"## {heading} {escape_markdown(str(media), 120)}",
        f"**{escape_markdown(report.sentence, 1500)}**",
        f"**{link('Open the task in CVAT', media.task_url)}**",
        _facts(report),
        _left_out(report),
        _charts(report),
    ]
    sheet = contact_sheet([sample for sample in samples if not sample.error])
    if sheet:
        parts += ["### Some of the frames", f"![contact sheet]({data_uri(sheet)})"]
    if report.command:
        parts += ["### Repeat this run", code_block(report.command, 4000)]
    if files:
        parts += [
            "### Files in the storage",
            "\n".join(f"- {title}: `{path}`" for title, path in files),
        ]
    return "\n\n".join(part for part in parts if part)


def _facts(report: RunReport) -> str:
    done, cached = report.count("annotated"), report.cached
    facts = [
        ("frames", f"{report.count('annotated'):,} annotated, {report.failed_count:,} failed, "
         f"{report.count('skipped'):,} skipped"),
        ("annotations", report.annotations),
        ("speed", f"{report.frames_per_second:.1f} frames/s, {report.seconds:.1f} s in total"),
        ("from the cache", f"{cached:,} of {counted(done, 'annotated frame')}" if done else "none"),
        ("clipped, dropped", _counts(report.counts)),
        ("function", escape_markdown(report.function, 120)),
        ("fingerprint", _short(report.fingerprint)),
    ]  # fmt: skip
    return table(["", ""], facts)


def _short(fingerprint: str | None) -> str:
    """Return as much of a fingerprint as fits into the narrow page of Prefect's UI."""
    return fingerprint[:12] if fingerprint else "none: the version is unknown, nothing is cached"


def _left_out(report: RunReport) -> str:
    rows = [[one.what, escape_markdown(one.remedy, 200)] for one in report.left_out]
    return f"### Left out\n\n{table(['what', 'why, and what changes it'], rows)}" if rows else ""


def _charts(report: RunReport) -> str:
    """Return charts as images, which markdown shows side by side if there is room."""
    images = []
    shapes = report.shapes_by_label
    if shapes:
        bars = [(name, float(n), f"{n:,}") for name, n in shapes.most_common(MAX_LABELS)]
        rest = sum(shapes.values()) - sum(shapes[name] for name, _, _ in bars)
        if rest:
            others = counted(len(shapes) - MAX_LABELS, "other label")
            bars.append((others, float(rest), f"{rest:,}"))
        images.append(_image("shapes by label", bar_chart("Shapes by label", bars)))
        scores = report.scores_by_label(_BINS)
        names = [name for name, _ in shapes.most_common(_MAX_HISTOGRAMS) if name in scores]
        if names:
            chart = histograms("Scores by label", {name: scores[name] for name in names})
            images.append(_image("scores by label", chart))
    if report.step_seconds:
        steps = [(step, value, f"{value:.1f} s") for step, value in report.step_seconds.items()]
        chart = bar_chart("Seconds by step, summed over task runs", steps)
        images.append(_image("seconds by step", chart))
    return "\n\n".join(images)


def _counts(counts: Counter[str]) -> str:
    found = [f"{count:,} {what}" for what, count in counts.most_common() if count]
    return escape_markdown(", ".join(found), 300) or "nothing"


def _image(name: str, svg: str) -> str:
    return f"![{name}]({chart_uri(svg)})"
