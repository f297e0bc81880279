"""Pictures with their boxes drawn, side by side on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, ImageDraw

COLUMNS = 4
CELL = (320, 240)
"""Pixels of a picture on the sheet; a smaller one is centred."""
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#46f0f0")


class LabelledBox(Protocol):
    @property
    def label(self) -> str: ...
    @property
    def points(self) -> tuple[float, float, float, float]: ...


def contact_sheet(pictures: Sequence[tuple[Path, Sequence[LabelledBox]]], path: Path) -> Path:
    """Write a PNG of the pictures with their boxes (xtl, ytl, xbr, ybr in pixels)."""
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0], rows * CELL[1]), "#202020")
    labels = sorted({box.label for _, boxes in pictures for box in boxes})
    colours: dict[str, Any] = {label: COLOURS[n % len(COLOURS)] for n, label in enumerate(labels)}
    for n, (source, boxes) in enumerate(pictures):
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
