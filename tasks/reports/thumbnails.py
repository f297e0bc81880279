"""Small pictures of frames, with shapes drawn on them, of bounded size in pixels and bytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import frozen
from PIL import Image, ImageDraw

from cvat_flows.tasks.model.text import on_one_line
from cvat_flows.tasks.reports.outlines import Outline, Part

FAULT = "#f43f5e"
OTHER = "#7dd3fc"
COLOURS = (
    "#38bdf8",
    "#f59e0b",
    "#4ade80",
    "#c084fc",
    "#fb7185",
    "#2dd4bf",
    "#facc15",
    "#818cf8",
    "#f97316",
    "#a3e635",
)
"""Of labels, in their order: to be told apart on most pictures."""
_CASING = "#111827"
_MARGIN = "#64748b"
_QUALITIES = (72, 55, 40, 28)
_SMALLEST_SIDE = 24
MOST_DRAWN = 150
"""Shapes drawn on one picture; of more the first ones, and always the one at fault."""


@frozen(kw_only=True)
class SmallPicture:
    """A frame made small; shapes are drawn on it later."""

    jpeg: bytes
    width: int
    """Pixels of the small picture."""
    height: int
    scale: float
    """Pixels of the small picture for each pixel of the frame."""

    def image(self) -> Image.Image:
        """Decode it."""
        return Image.open(io.BytesIO(self.jpeg)).convert("RGB")


def small_picture(image: Image.Image, *, longest: int, most_bytes: int) -> SmallPicture:
    """Make a frame small: neither side over `longest` pixels, the file not over `most_bytes`."""
    small, _ = shrink(image, longest)
    jpeg, small = encode(small, most_bytes)
    return SmallPicture(
        jpeg=jpeg, width=small.width, height=small.height, scale=small.width / image.width
    )


def picture_of_failure(
    image: Image.Image, outlines: Sequence[Outline], *, longest: int, most_bytes: int
) -> bytes:
    """JPEG of a frame with its shapes, those at fault pointed out.

    A shape at fault that leaves the image is shown with a margin, so that one sees where it goes.
    """
    small, scale = shrink(image, longest)
    outlines = _chosen(outlines)
    left, top, right, bottom = _margins(small.size, scale, [o for o in outlines if o.at_fault])
    if left or top or right or bottom:
        wider = Image.new("RGB", (small.width + left + right, small.height + top + bottom), _MARGIN)
        wider.paste(small, (left, top))
        small = wider
    draw = ImageDraw.Draw(small)
    for outline in sorted(outlines, key=lambda one: one.at_fault):
        colour, width = (FAULT, 2) if outline.at_fault else (OTHER, 1)
        _draw(draw, outline, scale, (left, top), colour, width)
    return encode(small, most_bytes)[0]


def draw_outlines(
    small: Image.Image, outlines: Sequence[Outline], scale: float, colours: dict[str, str]
) -> None:
    """Draw shapes in the colours of their labels on a small picture, names where there is room."""
    draw = ImageDraw.Draw(small)
    for outline in outlines[:MOST_DRAWN]:
        colour = colours.get(outline.label, OTHER)
        _draw(draw, outline, scale, (0, 0), colour, 2)
    if len(outlines) > 12:
        return
    for outline in outlines:
        x, y, *_ = (value * scale for value in outline.box())
        place = (max(1.0, min(x, small.width - 20)), max(0.0, y - 11))
        draw.text(
            place,
            on_one_line(outline.label, 18),
            fill="white",
            font_size=10,
            stroke_width=1,
            stroke_fill="black",
        )


def colours_of(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label; the same ones for the same list."""
    return {label: COLOURS[n % len(COLOURS)] for n, label in enumerate(dict.fromkeys(labels))}


def shrink(image: Image.Image, longest: int) -> tuple[Image.Image, float]:
    """An RGB copy of at most `longest` pixels a side, and its scale. The image stays as it is."""
    scale = min(1.0, longest / max(image.width, image.height, 1))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if image.mode in ("1", "P", "PA"):
        # Colours of a palette cannot be averaged.
        return image.resize(size, Image.Resampling.NEAREST).convert("RGB"), scale
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    if image.mode.startswith("I") or image.mode == "F":
        low, high = (float(value) for value in small.convert("F").getextrema())  # type: ignore[arg-type]
        span = (high - low) or 1.0
        small = small.convert("F").point(lambda value: (value - low) * (255 / span)).convert("L")
    return small.convert("RGB"), scale


def encode(image: Image.Image, most_bytes: int) -> tuple[bytes, Image.Image]:
    """JPEG of at most `most_bytes` bytes, by quality first and size then; and what is in it."""
    while True:
        for quality in _QUALITIES:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= most_bytes:
                return file.getvalue(), image
        if max(image.size) <= _SMALLEST_SIDE:
            return file.getvalue(), image
        share = 0.75
        image = image.resize((max(1, int(image.width * share)), max(1, int(image.height * share))))


def data_uri(content: bytes, media_type: str = "image/jpeg") -> str:
    """The content as an address that a page can show without asking for anything."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _chosen(outlines: Sequence[Outline]) -> list[Outline]:
    first = list(outlines[:MOST_DRAWN])
    return first + [one for one in outlines[MOST_DRAWN:] if one.at_fault][:5]


def _margins(
    size: tuple[int, int], scale: float, at_fault: list[Outline]
) -> tuple[int, int, int, int]:
    """Pixels to add on the left, top, right and bottom: at most a third of the picture each."""
    boxes = [one.box() for one in at_fault]
    if not boxes:
        return 0, 0, 0, 0
    width, height = size
    out = (
        -min(box[0] for box in boxes) * scale,
        -min(box[1] for box in boxes) * scale,
        max(box[2] for box in boxes) * scale - width,
        max(box[3] for box in boxes) * scale - height,
    )
    limits = (width / 3, height / 3, width / 3, height / 3)
    left, top, right, bottom = (
        math.ceil(min(more + 4, limit)) if more > 1 else 0
        for more, limit in zip(out, limits, strict=True)
    )
    return left, top, right, bottom


def _draw(
    draw: ImageDraw.ImageDraw,
    outline: Outline,
    scale: float,
    offset: tuple[int, int],
    colour: str,
    width: int,
) -> None:
    for part in outline.parts:
        points = [(x * scale + offset[0], y * scale + offset[1]) for x, y in part]
        if _extent(points) < 3 and (outline.at_fault or len(points) == 1):
            # A dot, or a shape without an area: a cross is seen.
            _cross(draw, points[0], colour, (6, 3) if outline.at_fault else (2, 1))
            continue
        if len(points) > 2 and not outline.open:
            points.append(points[0])
        if outline.at_fault:
            draw.line(points, fill=_CASING, width=width + 2)
        draw.line(points, fill=colour, width=width)


def _extent(points: Sequence[tuple[float, float]]) -> float:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return max(max(xs) - min(xs), max(ys) - min(ys))


def _cross(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], colour: Any, measure: tuple[int, int]
) -> None:
    (x, y), (size, width) = at, measure
    for line in (((x - size, y), (x + size, y)), ((x, y - size), (x, y + size))):
        draw.line(line, fill=_CASING, width=width + 2)
        draw.line(line, fill=colour, width=width)


__all__ = [
    "Outline",
    "Part",
    "SmallPicture",
    "colours_of",
    "data_uri",
    "draw_outlines",
    "encode",
    "picture_of_failure",
    "shrink",
    "small_picture",
]
