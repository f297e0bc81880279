"""Small pictures of frames, with shapes drawn on them, of limited size in pixels and bytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen
from PIL import Image, ImageDraw

from cvat_flows.tasks.model.text import on_one_line
from cvat_flows.tasks.reports.pictures.outlines import Outline

FAULT_COLOUR = "#f43f5e"
DEFAULT_COLOUR = "#7dd3fc"
LABEL_COLOURS = (
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
"""Distinguishable on most pictures. Labels take them in order."""
MAX_SHAPES = 150
"""Shapes drawn on one picture: the first ones, and always those at fault."""
_MAX_FAULTS = 5
_MAX_LABELLED_SHAPES = 12
_CASING_COLOUR = "#111827"
_MARGIN_COLOUR = "#64748b"
_JPEG_QUALITIES = (72, 55, 40, 28)
_MIN_SIDE = 24


@frozen(kw_only=True)
class PictureSize:
    """The largest size of a picture."""

    max_side: int
    """Pixels of the longer side."""
    max_bytes: int
    """Of the JPEG file."""


@frozen(kw_only=True)
class Thumbnail:
    """A frame made small. Shapes are drawn on it later."""

    jpeg: bytes
    width: int
    """Pixels of the thumbnail."""
    height: int
    scale: float
    """Pixels of the thumbnail for each pixel of the frame."""

    def image(self) -> Image.Image:
        """Decode the thumbnail."""
        return Image.open(io.BytesIO(self.jpeg)).convert("RGB")


def make_thumbnail(image: Image.Image, size: PictureSize) -> Thumbnail:
    """Make a small picture of a frame."""
    small, _ = shrink(image, size.max_side)
    jpeg, small = encode_jpeg(small, size.max_bytes)
    return Thumbnail(
        jpeg=jpeg, width=small.width, height=small.height, scale=small.width / image.width
    )


def draw_failure(image: Image.Image, outlines: Sequence[Outline], size: PictureSize) -> bytes:
    """Make a JPEG of a frame with its shapes, with those at fault highlighted.

    If a shape at fault leaves the image, the picture gets a margin that shows the shape.
    """
    small, scale = shrink(image, size.max_side)
    outlines = _choose_drawn(outlines)
    left, top, right, bottom = _margins(small.size, scale, [o for o in outlines if o.at_fault])
    if left or top or right or bottom:
        wider = Image.new(
            "RGB", (small.width + left + right, small.height + top + bottom), _MARGIN_COLOUR
        )
        wider.paste(small, (left, top))
        small = wider
    draw = ImageDraw.Draw(small)
    for outline in sorted(outlines, key=lambda one: one.at_fault):
        colour, width = (FAULT_COLOUR, 2) if outline.at_fault else (DEFAULT_COLOUR, 1)
        _draw(draw, outline, scale, (left, top), colour, width)
    return encode_jpeg(small, size.max_bytes)[0]


def draw_outlines(
    small: Image.Image,
    outlines: Sequence[Outline],
    scale: float,
    colours: Mapping[str, str],
    *,
    are_names_below: bool = False,
) -> None:
    """Draw shapes on a small picture in the colours of their labels, with names if there is room.

    `scale` is pixels of the picture for each pixel of the frame. The names are above the shapes,
    or below.
    """
    draw = ImageDraw.Draw(small)
    for outline in outlines[:MAX_SHAPES]:
        colour = colours.get(outline.label, DEFAULT_COLOUR)
        _draw(draw, outline, scale, (0, 0), colour, 2)
    if len(outlines) > _MAX_LABELLED_SHAPES:
        return
    for outline in outlines:
        x, top, _, bottom = (value * scale for value in outline.box())
        y = min(bottom + 1, small.height - 12.0) if are_names_below else max(0.0, top - 11)
        place = (max(1.0, min(x, small.width - 20)), y)
        draw.text(
            place,
            on_one_line(outline.label, 18),
            fill="white",
            font_size=10,
            stroke_width=1,
            stroke_fill="black",
        )


def assign_colours(labels: Iterable[str]) -> dict[str, str]:
    """Return a colour for each label, always the same for the same list."""
    return {
        label: LABEL_COLOURS[n % len(LABEL_COLOURS)]
        for n, label in enumerate(dict.fromkeys(labels))
    }


def shrink(image: Image.Image, max_side: int) -> tuple[Image.Image, float]:
    """Return an RGB copy with sides of at most `max_side` pixels, and its scale."""
    scale = min(1.0, max_side / max(image.width, image.height, 1))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if image.mode in ("1", "P", "PA"):
        # The colours of a palette cannot be averaged.
        return image.resize(size, Image.Resampling.NEAREST).convert("RGB"), scale
    # First by a whole number, which is fast. Pillow cannot do that for 16 bits ("I;16"). A gap of 1
    # takes half the time, but leaves noise for which the file has no room.
    gap = None if ";" in image.mode else 2.0
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=gap)
    if image.mode.startswith("I") or image.mode == "F":
        low, high = (float(value) for value in small.convert("F").getextrema())  # type: ignore[arg-type]
        span = (high - low) or 1.0
        small = small.convert("F").point(lambda value: (value - low) * (255 / span)).convert("L")
    return small.convert("RGB"), scale


def encode_jpeg(image: Image.Image, max_bytes: int) -> tuple[bytes, Image.Image]:
    """Encode an image as JPEG of at most `max_bytes` bytes.

    Reduces the quality first and then the size. Returns the file and the image in it.
    """
    while True:
        for quality in _JPEG_QUALITIES:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= max_bytes:
                return file.getvalue(), image
        if max(image.size) <= _MIN_SIDE:
            return file.getvalue(), image
        share = 0.75
        image = image.resize((max(1, int(image.width * share)), max(1, int(image.height * share))))


def data_uri(content: bytes, media_type: str = "image/jpeg") -> str:
    """Return the content as a `data:` address, which a page shows without a request."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _choose_drawn(outlines: Sequence[Outline]) -> list[Outline]:
    first = list(outlines[:MAX_SHAPES])
    return first + [one for one in outlines[MAX_SHAPES:] if one.at_fault][:_MAX_FAULTS]


def _margins(
    size: tuple[int, int], scale: float, at_fault: list[Outline]
) -> tuple[int, int, int, int]:
    """Return the margins left, top, right and bottom: each at most a third of the picture."""
    boxes = [one.box() for one in at_fault]
    if not boxes:
        return 0, 0, 0, 0
    width, height = size
    outside = (
        -min(box[0] for box in boxes) * scale,
        -min(box[1] for box in boxes) * scale,
        max(box[2] for box in boxes) * scale - width,
        max(box[3] for box in boxes) * scale - height,
    )
    limits = (width / 3, height / 3, width / 3, height / 3)
    left, top, right, bottom = (
        math.ceil(min(pixels + 4, limit)) if pixels > 1 else 0
        for pixels, limit in zip(outside, limits, strict=True)
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
            # A dot or a shape without area is drawn as a cross, so that it is visible.
            _draw_cross(draw, points[0], colour, (6, 3) if outline.at_fault else (2, 1))
            continue
        if len(points) > 2 and not outline.open:
            points.append(points[0])
        if outline.at_fault:
            draw.line(points, fill=_CASING_COLOUR, width=width + 2)
        draw.line(points, fill=colour, width=width)


def _extent(points: Sequence[tuple[float, float]]) -> float:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return max(max(xs) - min(xs), max(ys) - min(ys))


def _draw_cross(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], colour: str, measure: tuple[int, int]
) -> None:
    (x, y), (size, width) = centre, measure
    for line in (((x - size, y), (x + size, y)), ((x, y - size), (x, y + size))):
        draw.line(line, fill=_CASING_COLOUR, width=width + 2)
        draw.line(line, fill=colour, width=width)
