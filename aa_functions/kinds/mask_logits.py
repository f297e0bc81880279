"""Enlarge a network's small masks to the size of the image, only inside the boxes.

Ultralytics enlarges all masks to the whole image and then cuts out the boxes. Enlarging is linear
and separable: a mask is `down @ small @ across.T`, so the rows and columns of a box are enough.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from attrs import frozen

from aa_functions.kinds.kind import ImageShapes


@frozen(kw_only=True)
class Bitmap:
    """A part of an image, as booleans (height, width)."""

    pixels: np.ndarray
    left: int
    top: int


def cut_out(
    prototypes: np.ndarray, weights: np.ndarray, box: np.ndarray, shapes: ImageShapes
) -> Bitmap | None:
    """Return the mask of a box; None if it has no pixel.

    Args:
        prototypes: The network's small masks (count, height, width).
        weights: How much each of them counts (count). Where the sum is positive is the mask.
        box: Corners in pixels of the image.
        shapes: Of the image.
    """
    left, top, right, bottom = (math.ceil(value) for value in box.tolist())
    down, across = enlargements(prototypes.shape[1:], shapes.original)
    rows, row_part = down.part(top, bottom)
    columns, column_part = across.part(left, right)
    small = np.tensordot(weights, prototypes[:, rows, columns], 1)
    pixels = (row_part @ small) @ column_part.T > 0
    return Bitmap(pixels=pixels, left=left, top=top) if pixels.any() else None


@frozen(kw_only=True, eq=False)
class Enlargement:
    """Which values of the small mask a row or column of the image is mixed from."""

    weights: np.ndarray
    """(length in the image, length in the small mask)."""
    first: np.ndarray
    """For each position in the image the first small one that counts."""
    last: np.ndarray

    def part(self, start: int, stop: int) -> tuple[slice, np.ndarray]:
        """Return the positions of the small mask that count for a range, and their weights."""
        if stop <= start:
            return slice(0, 0), self.weights[:0, :0]
        used = slice(int(self.first[start]), int(self.last[stop - 1]) + 1)
        return used, self.weights[start:stop, used]


@lru_cache(maxsize=8)
def enlargements(
    small: tuple[int, int], original: tuple[int, int]
) -> tuple[Enlargement, Enlargement]:
    """Return the enlargements of rows and columns that Ultralytics uses for `retina_masks`.

    The small masks are a quarter of the input. If the padding around the image is not a whole
    number of their pixels, they are enlarged by 2 or 4 before it is cut off.
    """
    sides = list(zip(small, original, strict=True))
    gain = min(4 * low / high for low, high in sides)
    padding = [4 * low - max(round(high * gain), 1) for low, high in sides]
    factor = 4 // math.gcd(4, (padding[0] | padding[1]) | (padding[0] | padding[1]) // 2)
    gain = min(factor * low / high for low, high in sides)
    made = []
    for low, high in sides:
        content = max(round(high * gain), 1)
        begin = round((factor * low - content) / 2 - 0.1)
        weights = _bilinear(content, high)
        if factor > 1:
            weights = weights @ _bilinear(low, factor * low)[begin : begin + content]
        else:
            weights = np.pad(weights, ((0, 0), (begin, low - begin - content)))
        counts = weights != 0
        last = low - 1 - counts[:, ::-1].argmax(1)
        made.append(Enlargement(weights=weights, first=counts.argmax(1), last=last))
    return made[0], made[1]


def _bilinear(low: int, high: int) -> np.ndarray:
    """Return the weights (high, low) of bilinear interpolation between centres of pixels."""
    place = np.maximum((np.arange(high) + 0.5) * (low / high) - 0.5, 0)
    before = place.astype(int)
    share = place - before
    weights = np.zeros((high, low))
    rows = np.arange(high)
    weights[rows, before] = 1 - share
    np.add.at(weights, (rows, np.minimum(before + 1, low - 1)), share)
    return weights.astype(np.float32)
