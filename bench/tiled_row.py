"""The row of `aa_functions.tiled`: large pictures in tiles."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import PIL.Image
from attrs import frozen

from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.reference import load_function
from aa_functions.training.shape_images import make_shape_images
from aa_functions.wrappers.tiles import tiles_of
from bench.rows import WEIGHTS, Effort
from bench.runs import alternate, median
from bench.stage import Stage
from bench.table import Row

SIZE = (4000, 3000)
TILE = 640
OVERLAP = 0.2


@frozen(kw_only=True)
class Context:
    """What the protocol tells a function."""

    frame_name: str = "large.jpg"
    conf_threshold: float | None = None
    conv_mask_to_poly: bool = False


def tiled(stage: Stage, effort: Effort) -> Row:
    """Compare tiles in batches with the same tiles one by one."""
    pictures = [_large_picture(seed) for seed in range(effort.large_pictures)]
    function = load_function(
        "aa_functions.tiled",
        {
            "function": "aa_functions.yolo",
            "parameters": {"model": WEIGHTS, "imgsz": TILE, "device": "cpu"},
            "tile": TILE,
            "overlap": OVERLAP,
        },
    ).function
    model = import_ultralytics().YOLO(WEIGHTS)
    tiles = tiles_of(*SIZE, tile=TILE, overlap=OVERLAP)

    def ours() -> float:
        begin = time.perf_counter()
        function.detect_batch([Context()] * len(pictures), pictures)
        return time.perf_counter() - begin

    def one_by_one() -> float:
        begin = time.perf_counter()
        for picture in pictures:
            for part in (picture, *(tile.cut(picture) for tile in tiles)):
                model.predict(part, imgsz=TILE, device="cpu", verbose=False)
        return time.perf_counter() - begin

    ours()
    model.predict(pictures[0], imgsz=TILE, device="cpu", verbose=False)
    plain, batched = alternate(effort.rounds, one_by_one, ours)
    ratio = median(plain) / median(batched)
    count = len(pictures) * (len(tiles) + 1)
    return Row(
        what=f"tiles of {TILE} of {SIZE[0]}x{SIZE[1]}",
        measured=(f"{count / median(batched):.1f} tiles/s, one by one {count / median(plain):.1f}"),
        ratio=ratio,
        target="at least 2",
        met=ratio >= 2,
        note=f"{len(pictures)} pictures, {len(tiles)} tiles and the whole each",
    )


def _large_picture(seed: int) -> PIL.Image.Image:
    """Return noise with drawn shapes all over it."""
    noise = np.random.default_rng(seed).integers(90, 130, (*SIZE[::-1], 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(noise)
    made: Any = make_shape_images(12, seed=seed, sizes=((640, 480),))
    for place, one in enumerate(made):
        picture.paste(one.image, (100 + place % 4 * 950, 100 + place // 4 * 950))
    return picture
