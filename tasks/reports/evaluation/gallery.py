"""Pictures of frames with what people drew and what the function detected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen
from PIL.Image import Image

from cvat_flows.tasks.evaluate.corrections import RankedFrame
from cvat_flows.tasks.evaluate.evaluation import Comparison
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.reports.pictures.outlines import Outline, outline_of
from cvat_flows.tasks.reports.pictures.thumbnails import (
    PictureSize,
    draw_outlines,
    encode_jpeg,
    make_thumbnail,
)

MAX_PICTURES = 6
SIZE = PictureSize(max_side=420, max_bytes=16_000)
PEOPLE, FUNCTION = "#4ade80", "#f97316"
"""Colours of what people drew (green) and of what the function detected (orange)."""

FetchImage = Callable[[int], Image | None]
"""Returns the image of a frame, or None if it cannot be read."""


@frozen(kw_only=True)
class GalleryPicture:
    """A frame with both annotations drawn on it."""

    ranked: RankedFrame
    jpeg: bytes


def draw_gallery(
    comparison: Comparison, ranked: Sequence[RankedFrame], names: dict[int, str], fetch: FetchImage
) -> list[GalleryPicture]:
    """Draw the first frames of a ranking. Frames without an image are left out."""
    pictures = []
    for one in ranked[:MAX_PICTURES]:
        image = fetch(one.frame)
        if image is not None:
            drawn = _draw(image, *outlines_of_frame(comparison, one.frame, names))
            pictures.append(GalleryPicture(ranked=one, jpeg=drawn))
    return pictures


def outlines_of_frame(
    comparison: Comparison, frame: int, names: dict[int, str]
) -> tuple[list[Outline], list[Outline]]:
    """Return the outlines of what people drew on a frame, and of what the function detected."""
    true = [one for one in comparison.true.shapes if one.frame == frame]
    found = [
        comparison.found.shapes[n]
        for n in ((comparison.found.frame == frame) & comparison.used).nonzero()[0].tolist()
    ]
    return _outlines(true, names), _outlines(found, names)


def _outlines(shapes: Sequence[Annotation], names: dict[int, str]) -> list[Outline]:
    outlines = (outline_of(shape, names.get(shape.label_id, "?")) for shape in shapes)
    return [one for one in outlines if one is not None]


def _draw(image: Image, people: Sequence[Outline], function: Sequence[Outline]) -> bytes:
    """Draw both. People's names are above, the function's below, so that they do not collide."""
    thumbnail = make_thumbnail(image, PictureSize(max_side=SIZE.max_side, max_bytes=10**6))
    small = thumbnail.image()
    for outlines, colour, are_below in ((people, PEOPLE, False), (function, FUNCTION, True)):
        draw_outlines(
            small,
            outlines,
            thumbnail.scale,
            {one.label: colour for one in outlines},
            are_names_below=are_below,
        )
    return encode_jpeg(small, SIZE.max_bytes)[0]
