"""Encode masks as CVAT stores them, without a loop over pixels."""

from __future__ import annotations

import numpy as np


def encode_bitmap(bitmap: np.ndarray, left: int = 0, top: int = 0) -> list[float] | None:
    """Encode a mask for the points of a shape of type `mask`.

    Gives the same numbers as `cvat_sdk.masks.encode_mask`, several times as fast.

    Args:
        bitmap: Booleans (height, width): the image, or a part of it that contains the mask.
        left: The column of the image where the bitmap begins.
        top: The row of the image where the bitmap begins.

    Returns:
        Run lengths over the smallest box around the mask, row by row, a gap first; then the left,
        top, right and bottom of the box, inclusive. None if the mask has no pixel.

    >>> encode_bitmap(np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]], bool), left=10)
    [0.0, 2.0, 1.0, 1.0, 11.0, 1.0, 12.0, 2.0]
    """
    rows = np.flatnonzero(bitmap.any(1))
    if not len(rows):
        return None
    y1, y2 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(bitmap[y1:y2].any(0))
    x1, x2 = int(columns[0]), int(columns[-1]) + 1
    box = bitmap[y1:y2, x1:x2].ravel()
    changes = np.flatnonzero(box[1:] != box[:-1])
    starts = np.empty(len(changes) + 2 + box[0])
    starts[:2] = 0  # a mask that begins with a pixel has a gap of length 0
    starts[1 + box[0] : -1] = changes + 1
    starts[-1] = box.size
    numbers: list[float] = np.diff(starts).tolist()
    return [*numbers, *map(float, (left + x1, top + y1, left + x2 - 1, top + y2 - 1))]
