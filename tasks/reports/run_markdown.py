"""The report of a run in markdown: what was annotated, how fast, and how to repeat it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PIL import Image, ImageDraw

from cvat_flows.tasks.model.text import code_block, escape_markdown, link, shorten_name, table
from cvat_flows.tasks.reports.charts import bar_chart, chart_uri, histograms
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.reports.samples import Sample
from cvat_flows.tasks.reports.thumbnails import colours_of, data_uri, draw_outlines, encode

SHEET_BYTES = 40_000
"""Of the contact sheet; Prefect stores it three times (see tasks.reports.failed_frames)."""
MOST_LABELS = 12
"""Labels in a chart; the others are one bar."""
_BINS = 20
_CELL = (200, 168)
_COLUMNS = 4


def report_markdown(
    report: RunReport,
    samples: Sequence[Sample],
    *,
    files: Sequence[tuple[str, str]] = (),
    heading: str = "Annotated",
) -> str:
    """The run's report. `files` are what was written to the storage: a title and a path each.

    Of bounded length: about 75 KB, most of it the contact sheet.
    """
    media = report.media
    parts = [
        f"## {heading} {escape_markdown(str(media), 120)}",
        f"**{escape_markdown(report.sentence, 1500)}**",
        f"**{link('Open the task in CVAT', media.task_url)}**",
        facts_table(report),
        charts(report),
    ]
    sheet = contact_sheet([one for one in samples if not one.error])
    if sheet:
        parts += ["### Some of the frames", f"![contact sheet]({data_uri(sheet)})"]
    if report.call:
        parts += ["### The same again", code_block(report.call, 4000)]
    if files:
        parts += [
            "### Files in the storage",
            "\n".join(f"- {title}: `{path}`" for title, path in files),
        ]
    return "\n\n".join(part for part in parts if part)


def facts_table(report: RunReport) -> str:
    """The run in figures."""
    would = "would be " if report.dry_run else ""
    done, cached = report.count("annotated"), report.cached
    facts = [
        ("frames", f"{report.count('annotated'):,} annotated, {report.failed_count:,} failed, "
         f"{report.count('skipped'):,} skipped"),
        ("annotations", f"{report.created:,} {would}created, {report.kept:,} were there, "
         f"{report.deleted:,} {would}deleted"),
        ("speed", f"{report.frames_per_second:.1f} frames/s, {report.seconds:.1f} s in all"),
        ("from the cache", f"{cached:,} of {done:,} annotated frames" if done else "none"),
        ("clipped, dropped", _counts(report.counts)),
        ("function", escape_markdown(report.function, 120)),
        ("fingerprint", report.fingerprint or "none: its results cannot be told from others"),
    ]  # fmt: skip
    return table(["", ""], facts)


def charts(report: RunReport) -> str:
    """Charts as images, side by side where there is room."""
    images = []
    shapes = report.shapes_by_label
    if shapes:
        bars = [(name, float(n), f"{n:,}") for name, n in shapes.most_common(MOST_LABELS)]
        rest = sum(shapes.values()) - sum(shapes[name] for name, _, _ in bars)
        if rest:
            bars.append((f"{len(shapes) - MOST_LABELS} other labels", float(rest), f"{rest:,}"))
        images.append(_image("shapes by label", bar_chart("Shapes by label", bars)))
        scores = report.scores_by_label(_BINS)
        names = [name for name, _ in shapes.most_common(9) if name in scores]
        if names:
            chart = histograms("Scores by label", {name: scores[name] for name in names})
            images.append(_image("scores by label", chart))
    if report.step_seconds:
        steps = [(step, value, f"{value:.1f} s") for step, value in report.step_seconds.items()]
        chart = bar_chart("Seconds by step, summed over task runs", steps)
        images.append(_image("seconds by step", chart))
    return "\n\n".join(images)


def contact_sheet(samples: Sequence[Sample]) -> bytes | None:
    """JPEG of small pictures with their boxes, side by side; None without a picture."""
    if not samples:
        return None
    rows = -(-len(samples) // _COLUMNS)
    width, height = _CELL
    sheet = Image.new("RGB", (min(len(samples), _COLUMNS) * width, rows * height), "#1f2937")
    draw = ImageDraw.Draw(sheet)
    colours = colours_of(sorted({o.label for sample in samples for o in sample.outlines}))
    for n, sample in enumerate(samples):
        small = sample.picture.image()
        scale = sample.picture.scale
        box = (width - 8, height - 24)
        if small.width > box[0] or small.height > box[1]:
            share = min(box[0] / small.width, box[1] / small.height)
            small = small.resize(
                (max(1, int(small.width * share)), max(1, int(small.height * share)))
            )
            scale *= share
        draw_outlines(small, sample.outlines, scale, colours)
        left, top = n % _COLUMNS * width, n // _COLUMNS * height
        sheet.paste(small, (left + (width - small.width) // 2, top + 4))
        caption = f"{sample.frame.number} · {shorten_name(sample.frame.name, 24)}"
        draw.text((left + 6, top + height - 17), caption, fill="#e5e7eb", font_size=11)
    return encode(sheet, SHEET_BYTES)[0]


def _counts(counts: Counter[str]) -> str:
    found = [f"{count:,} {what}" for what, count in counts.most_common() if count]
    return escape_markdown(", ".join(found), 300) or "nothing"


def _image(name: str, svg: str) -> str:
    return f"![{name}]({chart_uri(svg)})"
