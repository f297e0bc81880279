"""Synthetic pictures of shapes with known boxes, outlines, rotated boxes and keypoints.

The shipped models were trained on them. The demo and the tests annotate them and compare the
results with the truth. Picture `index` of a seed is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from attrs import frozen
from PIL import Image, ImageDraw

from aa_functions.training.figures import FIGURES, Figure, Point, RotatedBox

LABELS = ("circle", "square", "triangle", "star")
SIZES = ((320, 240), (640, 480), (800, 600), (1280, 720), (480, 640))
_SUPERSAMPLING = 4


@frozen(kw_only=True)
class TrueBox:
    """The smallest axis-aligned box around a drawn shape, in pixels of the image."""

    label: str
    xtl: float
    ytl: float
    xbr: float
    ybr: float
    outline: tuple[Point, ...] = ()
    """Corners of the drawn shape."""
    rotated: RotatedBox | None = None
    """The box along the axis of a shape of `FIGURES`."""
    keypoints: tuple[Point, ...] = ()
    """Of a shape of `FIGURES`, in the order of `Figure.keypoints`."""


@frozen(kw_only=True)
class ShapeImage:
    """A picture and the boxes of its shapes."""

    image: Image.Image
    boxes: tuple[TrueBox, ...]


def make_shape_images(
    count: int,
    *,
    seed: int = 0,
    sizes: Sequence[tuple[int, int]] = SIZES,
    shapes: tuple[int, int] = (1, 6),
    extent: tuple[float, float] = (0.1, 0.5),
    labels: Sequence[str] = LABELS,
    overhang: float = 0.0,
) -> Iterator[ShapeImage]:
    """Yield RGB pictures.

    Args:
        count: Number of pictures.
        seed: The same seed gives the same pictures.
        sizes: Widths and heights in pixels; each picture has one of them at random.
        shapes: Minimum and maximum number of shapes. There are fewer if the picture has no room.
        extent: Minimum and maximum diameter of a shape, as a share of the shorter side.
        labels: The shapes to draw, of `LABELS` and `FIGURES`.
        overhang: The share of a shape's width and height by which it may leave the picture.
    """
    for index in range(count):
        yield make_shape_image(
            index,
            seed=seed,
            sizes=sizes,
            shapes=shapes,
            extent=extent,
            labels=labels,
            overhang=overhang,
        )


def make_shape_image(
    index: int,
    *,
    seed: int = 0,
    sizes: Sequence[tuple[int, int]] = SIZES,
    shapes: tuple[int, int] = (1, 6),
    extent: tuple[float, float] = (0.1, 0.5),
    labels: Sequence[str] = LABELS,
    overhang: float = 0.0,
) -> ShapeImage:
    """Return picture number `index` of `make_shape_images`."""
    rng = np.random.default_rng([seed, index])
    width, height = sizes[int(rng.integers(len(sizes)))]
    image = Image.fromarray(_background(rng, width, height))
    boxes: list[TrueBox] = []
    for _ in range(int(rng.integers(shapes[0], shapes[1] + 1))):
        label = labels[int(rng.integers(len(labels)))]
        low, high = (math.log(share * min(width, height)) for share in extent)
        figure = _figure(rng, label, radius=math.exp(rng.uniform(low, high)) / 2)
        box = _free_place(rng, figure, boxes, label, width, height, overhang)
        if box is not None:
            _draw(rng, image, box)
            boxes.append(box)
    return ShapeImage(image=image, boxes=tuple(boxes))


def _background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Return a colour gradient with blotches and grain, (height, width, 3), 8 bits."""
    corners = rng.uniform(20, 235, (2, 2, 3)).astype(np.uint8)
    canvas = np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))
    cells = int(rng.integers(4, 40))
    blotches = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    coarse = np.asarray(
        Image.fromarray(blotches).resize((width, height), Image.Resampling.BICUBIC)
    ).astype(np.float32)
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * rng.uniform(0, 25)
    noisy = canvas + (coarse - 128) * rng.uniform(0.1, 0.5) + grain
    pixels: np.ndarray = np.clip(noisy, 0, 255).astype(np.uint8)
    return pixels


def _figure(rng: np.random.Generator, label: str, *, radius: float) -> Figure:
    """Return a shape around (0, 0), rotated at random."""
    rotation = rng.uniform(0, 2 * math.pi)
    if label in FIGURES:
        return FIGURES[label].turn(rotation, scale=radius)
    if label == "circle":
        corners, radii = 72, [radius]
    elif label == "star":
        corners, radii = 10, [radius, radius * 0.42]
    else:
        corners, radii = (4 if label == "square" else 3), [radius]
    return Figure(
        outline=tuple(
            (
                radii[i % len(radii)] * math.cos(rotation + 2 * math.pi * i / corners),
                radii[i % len(radii)] * math.sin(rotation + 2 * math.pi * i / corners),
            )
            for i in range(corners)
        )
    )


def _free_place(
    rng: np.random.Generator,
    figure: Figure,
    taken: Sequence[TrueBox],
    label: str,
    width: int,
    height: int,
    overhang: float,
) -> TrueBox | None:
    """Move a shape to a random place in the picture where it touches no other."""
    xs, ys = zip(*figure.outline, strict=True)
    across, down = overhang * (max(xs) - min(xs)), overhang * (max(ys) - min(ys))
    for _ in range(20):
        dx = rng.uniform(-min(xs) + 1 - across, width - 1 - max(xs) + across)
        dy = rng.uniform(-min(ys) + 1 - down, height - 1 - max(ys) + down)
        moved = figure.move(dx, dy)
        box = TrueBox(
            label=label,
            xtl=min(xs) + dx,
            ytl=min(ys) + dy,
            xbr=max(xs) + dx,
            ybr=max(ys) + dy,
            outline=moved.outline,
            rotated=moved.box,
            keypoints=moved.keypoints,
        )
        if not any(_touch(box, other) for other in taken):
            return box
    return None


def _touch(a: TrueBox, b: TrueBox) -> bool:
    return a.xtl < b.xbr and b.xtl < a.xbr and a.ytl < b.ybr and b.ytl < a.ybr


def _draw(rng: np.random.Generator, image: Image.Image, box: TrueBox) -> None:
    """Fill the outline with a colour that differs from the background."""
    left, top = math.floor(box.xtl), math.floor(box.ytl)
    width, height = math.ceil(box.xbr) - left, math.ceil(box.ybr) - top
    enlarged = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    ImageDraw.Draw(enlarged).polygon(
        [((x - left) * _SUPERSAMPLING, (y - top) * _SUPERSAMPLING) for x, y in box.outline],
        fill=255,
    )
    stencil = enlarged.resize((width, height), Image.Resampling.BOX)
    background = np.asarray(image.crop((left, top, left + width, top + height))).mean(axis=(0, 1))
    colour = rng.uniform(0, 255, 3)
    while np.linalg.norm(colour - background) < 90:
        colour = rng.uniform(0, 255, 3)
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * rng.uniform(0, 15)
    fill = np.clip(colour + grain, 0, 255).astype(np.uint8)
    image.paste(Image.fromarray(fill), (left, top), stencil)
