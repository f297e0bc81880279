"""Small pictures: limited in size, with any image and any shapes."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvat_flows.tasks.model.annotations import Annotation, Detection
from cvat_flows.tasks.reports.pictures.outlines import MAX_POINTS, outline_of, outlines_of
from cvat_flows.tasks.reports.pictures.thumbnails import (
    LABEL_COLOURS,
    MAX_SHAPES,
    PictureSize,
    Thumbnail,
    assign_colours,
    draw_failure,
    draw_outlines,
    encode_jpeg,
    make_thumbnail,
    shrink,
)
from tests.tasks.reports.report_factory import noise, rectangle

MODES = ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def red(picture: Image.Image) -> list[tuple[int, int]]:
    """Find pixels roughly in the colour of a fault; JPEG changes colours a little."""
    loaded: Any = picture.load()
    found = []
    for x in range(picture.width):
        for y in range(picture.height):
            r, g, b = loaded[x, y]
            if r > 170 and g < 120 and b < 160 and r - g > 90:
                found.append((x, y))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_every_image_mode_can_be_made_small(mode: str) -> None:
    image = Image.new(mode, (300, 200))
    made = make_thumbnail(image, PictureSize(max_side=100, max_bytes=5000))
    assert (made.width, made.height) == (100, 67)
    assert opened(made.jpeg).size == (100, 67)
    assert image.mode == mode
    assert image.size == (300, 200)


@pytest.mark.parametrize("size", [(1, 1), (5000, 2), (2, 5000), (640, 480), (90, 30)])
def test_pixels_and_bytes_are_limited(size: tuple[int, int]) -> None:
    made = make_thumbnail(noise(size), PictureSize(max_side=120, max_bytes=1700))
    assert max(made.width, made.height) <= 120
    assert len(made.jpeg) <= 1700
    assert made.scale == pytest.approx(made.width / size[0])


def test_sixteen_bit_images_are_not_white() -> None:
    image = Image.new("I;16", (10, 10))
    image.putpixel((2, 2), 4000)
    small, _ = shrink(image, 10)
    assert small.getextrema()[0] == (0, 255)


def test_large_files_lose_quality_first_and_then_size() -> None:
    whole, _ = encode_jpeg(noise((200, 200)), 10**6)
    some, same = encode_jpeg(noise((200, 200)), len(whole) - 1)
    assert same.size == (200, 200)
    little, less = encode_jpeg(noise((200, 200)), 1500)
    assert len(little) <= 1500 < len(some)
    assert less.width < 200


def test_the_shape_at_fault_is_highlighted() -> None:
    image = Image.new("RGB", (640, 480), "white")
    shapes = [(rectangle(320, 240, 480, 360), "car"), (rectangle(10, 10, 60, 60), "car")]
    jpeg = draw_failure(
        image, outlines_of(shapes, at_fault=0), PictureSize(max_side=320, max_bytes=20_000)
    )
    picture = opened(jpeg)
    assert picture.size == (320, 240)
    found = red(picture)
    assert found
    assert min(x for x, _ in found) in range(157, 164)
    assert max(y for _, y in found) in range(177, 184)


def test_a_shape_that_leaves_the_image_gets_a_margin() -> None:
    image = Image.new("RGB", (640, 480), "white")
    out = outlines_of([(rectangle(600, 100, 800, 200), "car")], at_fault=0)
    picture = opened(draw_failure(image, out, PictureSize(max_side=320, max_bytes=20_000)))
    assert picture.width > 320 + 50
    assert picture.height == 240
    assert any(x > 330 for x, _ in red(picture))


def test_a_shape_without_area_is_visible() -> None:
    image = Image.new("RGB", (640, 480), "white")
    out = outlines_of([(rectangle(100, 100, 100, 100), "car")], at_fault=0)
    assert red(opened(draw_failure(image, out, PictureSize(max_side=320, max_bytes=20_000))))


HOSTILE_POINTS: list[tuple[Any, ...]] = [
    (),
    (1,),
    (1, 2, 3),
    (math.nan, 1, 2, 3),
    (math.inf, -math.inf, 1e308, -1e308),
    (10**400, 1, 5, 5),
    ("1", None, b"x", object()),
    (True, False, True, False),
    (-1e9, -1e9, 1e9, 1e9),
    tuple(range(100_000)),
]
TYPES = ["rectangle", "ellipse", "polygon", "polyline", "points", "mask", "cuboid", "skeleton", "x"]


@pytest.mark.parametrize("points", HOSTILE_POINTS, ids=range(len(HOSTILE_POINTS)))
@pytest.mark.parametrize("kind", TYPES)
def test_nothing_that_a_function_returns_breaks_the_drawing(
    kind: str, points: tuple[Any, ...]
) -> None:
    element = Detection(type="points", label_id=0, points=points)
    shape = Detection(
        type=kind, label_id=[], points=points, rotation=math.nan, score="high", elements=(element,)
    )
    outlines = outlines_of([(shape, "a\nb\ud800"), (shape, "c")], at_fault=1)
    assert all(len(outline.parts) <= MAX_POINTS + 2 for outline in outlines)
    assert all(len(part) <= MAX_POINTS for outline in outlines for part in outline.parts)
    jpeg = draw_failure(noise(), outlines, PictureSize(max_side=112, max_bytes=1700))
    assert len(jpeg) <= 1700
    draw_outlines(Image.new("RGB", (100, 80)), outlines, 0.1, {})


def test_a_shape_at_fault_among_many_is_drawn() -> None:
    shapes = [(rectangle(1, 1, 5, 5), "car")] * (MAX_SHAPES * 2)
    shapes[-1] = (rectangle(320, 240, 480, 360), "car")
    out = outlines_of(shapes, at_fault=len(shapes) - 1)
    white = Image.new("RGB", (640, 480), "white")
    assert red(opened(draw_failure(white, out, PictureSize(max_side=320, max_bytes=20_000))))


@pytest.mark.parametrize("are_below", [False, True])
def test_names_are_above_or_below_the_shape(are_below: bool) -> None:
    outlines = outlines_of([(rectangle(20, 30, 80, 50), "car")])
    small = Image.new("RGB", (100, 80), "black")
    draw_outlines(small, outlines, 1.0, {"car": "#4ade80"}, are_names_below=are_below)
    bright = np.asarray(small).min(axis=2) > 140  # the text, and not the green outline
    rows = np.flatnonzero(bright.any(axis=1)).tolist()
    assert rows
    assert all(y > 51 if are_below else y < 29 for y in rows)


def box_of(shape: Detection | Annotation) -> tuple[int, ...]:
    outline = outline_of(shape, "x")
    assert outline is not None
    return tuple(round(value) for value in outline.box())


def test_shapes_are_where_cvat_has_them() -> None:
    def shape(kind: str, points: tuple[float, ...], rotation: float = 0.0) -> Detection:
        return Detection(type=kind, label_id=0, points=points, rotation=rotation)

    assert box_of(shape("rectangle", (10, 20, 30, 60))) == (10, 20, 30, 60)
    assert box_of(shape("rectangle", (0, 0, 40, 20), 90)) == (10, -10, 30, 30)
    assert box_of(shape("ellipse", (50, 50, 70, 40))) == (30, 40, 70, 60)
    assert box_of(shape("polygon", (0, 0, 10, 0, 5, 8))) == (0, 0, 10, 8)
    assert box_of(shape("points", (3, 4, 5, 6))) == (3, 4, 5, 6)
    # One gap of 1, a run of 3, one of 2 after a gap of 2; in a box of 4 by 2 pixels.
    mask = outline_of(shape("mask", (1, 3, 2, 2, 10, 20, 13, 21)), "x")
    assert mask is not None
    assert mask.box() == (10, 20, 14, 22)
    assert mask.parts[1:] == (((11, 20.5), (14, 20.5)), ((12, 21.5), (14, 21.5)))
    cuboid = (0, 0, 0, 10, 10, 0, 10, 10, 14, 4, 14, 12, 4, 4, 4, 12)
    assert box_of(shape("cuboid", cuboid)) == (0, 0, 14, 12)
    skeleton = Annotation(
        type="skeleton",
        label_id=0,
        frame=0,
        elements=(
            Annotation(type="points", label_id=1, frame=0, points=(5.0, 6.0)),
            Annotation(type="points", label_id=2, frame=0, points=(9.0, 20.0)),
            Annotation(type="points", label_id=3, frame=0, points=(900.0, 900.0), outside=True),
        ),
    )
    assert box_of(skeleton) == (5, 6, 9, 20)


def test_a_tag_has_no_outline() -> None:
    assert outline_of(Detection(type="tag", label_id=0), "x") is None


def test_colours_are_the_same_for_the_same_labels() -> None:
    names = [f"l{n}" for n in range(25)]
    assert assign_colours(names) == assign_colours(names)
    assert assign_colours(names)["l0"] == assign_colours(names)["l10"] == LABEL_COLOURS[0]


def test_a_small_picture_decodes() -> None:
    made = make_thumbnail(noise(), PictureSize(max_side=64, max_bytes=3000))
    assert isinstance(made, Thumbnail)
    assert made.image().size == (made.width, made.height)
