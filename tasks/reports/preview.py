"""The preview of a run that writes nothing: one HTML file that needs no other."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from cvat_flows.tasks.matching.result import MISMATCHES
from cvat_flows.tasks.model.text import escape_xml, on_one_line
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.reports.samples import Sample
from cvat_flows.tasks.reports.thumbnails import colours_of, data_uri

PICTURES = {"most": 60, "longest": 800, "most_bytes": 90_000}
"""Frames on the page, and pixels and bytes of their pictures: the file stays below 8 MB."""
_COORDINATE = 1
"""Decimals of a pixel."""


def preview_page(
    report: RunReport, samples: Sequence[Sample], *, threshold: float | None = None
) -> str:
    """The page: pictures, boxes, labels, scores, and a slider for the threshold.

    `threshold` is where the slider stands first. Everything from outside is in a block of JSON
    and reaches the page as text; the page may load nothing from anywhere.
    """
    template = files(__package__).joinpath("preview_page.html").read_text("utf-8")
    content = json.dumps(_content(report, samples, threshold), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        # Nothing in the block can end it, or be taken for a comment.
        content = content.replace(character, f"\\u{ord(character):04x}")
    title = escape_xml(f"Preview: {report.media} · {report.function}", 200)
    parts = {"{{title}}": title, "{{content}}": content}
    return re.sub(r"\{\{(?:title|content)\}\}", lambda match: parts[match.group()], template)


def _content(
    report: RunReport, samples: Sequence[Sample], threshold: float | None
) -> dict[str, Any]:
    names = sorted(
        {label.name for label in report.labels}
        | {outline.label for sample in samples for outline in sample.outlines}
    )
    number = {name: n for n, name in enumerate(names)}
    colours = colours_of(names)
    return {
        "task": on_one_line(str(report.media), 200),
        "taskUrl": report.media.task_url,
        "function": on_one_line(report.function, 200),
        "fingerprint": report.fingerprint or "",
        "sentence": report.sentence,
        "call": report.call,
        "threshold": threshold or 0,
        "totals": {
            "created": report.created,
            "kept": report.kept,
            "deleted": report.deleted,
            "counts": {name: n for name, n in sorted(report.counts.items()) if n},
        },
        "labels": [{"name": on_one_line(n, 80), "colour": colours[n]} for n in names],
        "match": [
            {
                "kind": row.kind,
                "function": row.function or "",
                "functionType": row.function_type or "",
                "task": row.task or "",
                "taskType": row.task_type or "",
                "status": row.status,
                "message": row.message,
                "bad": row.status in MISMATCHES,
            }
            for row in report.match
        ],
        "frames": [_frame(report, sample, number) for sample in samples],
        "others": max(0, report.count("annotated") + report.failed_count - len(samples)),
    }


def _frame(report: RunReport, sample: Sample, number: dict[str, int]) -> dict[str, Any]:
    frame = sample.frame
    row = report.rows.get(frame.number)
    scale = sample.picture.scale or 1.0
    return {
        "number": frame.number,
        "name": on_one_line(frame.name, 200),
        "url": report.media.frame_url(frame),
        "width": round(sample.picture.width / scale),
        "height": round(sample.picture.height / scale),
        "picture": data_uri(sample.picture.jpeg),
        "error": on_one_line(sample.error, 600),
        "created": row.created if row else 0,
        "kept": row.kept if row else 0,
        "deleted": row.deleted if row else 0,
        "shapes": [
            {
                "label": number[outline.label],
                "score": outline.score,
                "open": outline.open,
                "fault": outline.at_fault,
                "parts": [
                    [round(value, _COORDINATE) for point in part for value in point]
                    for part in outline.parts
                ],
            }
            for outline in sample.outlines
        ],
    }
