"""The preview of a dry run: one HTML file without external resources."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from cvat_flows.tasks.matching.result import MISMATCHES
from cvat_flows.tasks.model.text import escape_xml, on_one_line
from cvat_flows.tasks.reports.pictures.samples import Sample
from cvat_flows.tasks.reports.pictures.thumbnails import PictureSize, assign_colours, data_uri
from cvat_flows.tasks.reports.run_report import RunReport

MAX_PICTURES = 60
"""Frames on the page."""
PICTURE_SIZE = PictureSize(max_side=800, max_bytes=90_000)
"""With this size the file stays below 8 MB."""
_DECIMALS = 1
"""Of coordinates in pixels."""


def preview_page(
    report: RunReport, samples: Sequence[Sample], *, threshold: float | None = None
) -> str:
    """Make the page: pictures with shapes, labels and scores, and a slider for the threshold.

    `threshold` is the first value of the slider. Untrusted text is only in a block of JSON, and the
    page shows it as text. The page must not load anything.
    """
    template = files(__package__).joinpath("preview_page.html").read_text("utf-8")
    content = json.dumps(_content(report, samples, threshold), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        # So nothing in the block can end it or start a comment.
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
    index = {name: n for n, name in enumerate(names)}
    colours = assign_colours(names)
    return {
        "task": on_one_line(str(report.media), 200),
        "taskUrl": report.media.task_url,
        "function": on_one_line(report.function, 200),
        "fingerprint": report.fingerprint or "",
        "sentence": report.sentence,
        "command": report.command,
        "threshold": threshold or 0,
        "totals": {
            "created": report.created,
            "kept": report.kept,
            "deleted": report.deleted,
            "counts": {
                name: n
                for name, n in sorted((report.counts | report.annotations_left_out).items())
                if n
            },
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
        "frames": [_frame(report, sample, index) for sample in samples],
        "others": max(0, report.count("annotated") + report.failed_count - len(samples)),
    }


def _frame(report: RunReport, sample: Sample, label_index: dict[str, int]) -> dict[str, Any]:
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
                "label": label_index[outline.label],
                "score": outline.score,
                "open": outline.open,
                "fault": outline.at_fault,
                "parts": [
                    [round(value, _DECIMALS) for point in part for value in point]
                    for part in outline.parts
                ],
            }
            for outline in sample.outlines
        ],
    }
