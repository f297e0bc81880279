"""A contact sheet: small pictures of a run's frames, with their shapes, in one image."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from cvat_flows.tasks.model.text import shorten_name
from cvat_flows.tasks.reports.pictures.samples import Sample
from cvat_flows.tasks.reports.pictures.thumbnails import assign_colours, draw_outlines, encode_jpeg

SHEET_BYTES = 40_000
"""Size limit. Prefect stores the sheet three times (reports.failed_frames)."""
_CELL = (200, 168)
_COLUMNS = 4
_BACKGROUND = "#1f2937"
_CAPTION = "#e5e7eb"


def contact_sheet(samples: Sequence[Sample]) -> bytes | None:
    """Make a JPEG of the pictures side by side. Returns None if there is none."""
    if not samples:
        return None
    rows = -(-len(samples) // _COLUMNS)
    width, height = _CELL
    sheet = Image.new("RGB", (min(len(samples), _COLUMNS) * width, rows * height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    colours = assign_colours(sorted({o.label for sample in samples for o in sample.outlines}))
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
        draw.text((left + 6, top + height - 17), caption, fill=_CAPTION, font_size=11)
    return encode_jpeg(sheet, SHEET_BYTES)[0]
