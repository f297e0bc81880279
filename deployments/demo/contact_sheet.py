"""Draw images with their boxes on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from cvat_flows.deployments.demo.truth import Box

COLUMNS = 4
CELL = (320, 240)
"""Width and height of an image on the sheet, in pixels."""
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#46f0f0")


def save_contact_sheet(images: Sequence[tuple[Path, Sequence[Box]]], path: Path) -> Path:
    """Save a PNG of the images with their boxes (xtl, ytl, xbr, ybr in pixels)."""
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0], rows * CELL[1]), "#202020")
    labels = sorted({box.label for _, boxes in images for box in boxes})
    colours = {label: COLOURS[n % len(COLOURS)] for n, label in enumerate(labels)}
    for n, (source, boxes) in enumerate(images):
        with Image.open(source) as image:
            picture = image.convert("RGB")
        draw = ImageDraw.Draw(picture)
        width = max(2, picture.width // 200)
        for box in boxes:
            draw.rectangle(box.points, outline=colours[box.label], width=width)
            draw.text(
                box.points[:2],
                box.label,
                fill="white",
                font_size=6 * width,
                stroke_width=1,
                stroke_fill="black",
            )
        picture.thumbnail(CELL)
        left, top = n % COLUMNS * CELL[0], n // COLUMNS * CELL[1]
        sheet.paste(
            picture, (left + (CELL[0] - picture.width) // 2, top + (CELL[1] - picture.height) // 2)
        )
    sheet.save(path)
    return path
