"""Check and clip masks. CVAT stores run lengths, gap first, then a box with inclusive corners.

numpy is imported for masks only: a function that needs none starts sooner without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def mask_defect(points: Sequence[float], width: int, height: int) -> str | None:
    """Return what is wrong with a mask's position or size; None if nothing is."""
    left, top, right, bottom = points[-4:]
    if left < 0 or top < 0 or right > width - 1 or bottom > height - 1:
        return "leaves the image"
    return None if any(points[1:-4:2]) else "has no area"


def clip_mask(points: Sequence[float], width: int, height: int) -> tuple[float, ...] | None:
    """Cut a mask at the border of the image. Returns None if no pixel is left."""
    import numpy as np
    from cvat_sdk.masks import encode_mask

    left, top, right, bottom = (int(corner) for corner in points[-4:])
    rows = range(max(top, 0), min(bottom, height - 1) + 1)
    columns = range(max(left, 0), min(right, width - 1) + 1)
    if not rows or not columns:
        return None
    box_width = right - left + 1
    # A pixel is set if it lies in an odd run. So only pixels in the image have to be decoded,
    # however large the mask's box is.
    ends = np.cumsum(np.asarray(points[:-4], dtype=np.int64))
    offsets = np.arange(columns[0] - left, columns[-1] - left + 1)
    bitmap = np.stack([_are_set(ends, (row - top) * box_width + offsets) for row in rows])
    if not bitmap.any():
        return None
    *runs, x1, y1, x2, y2 = encode_mask(bitmap)
    x, y = columns[0], rows[0]
    return tuple(map(float, (*runs, x1 + x, y1 + y, x2 + x, y2 + y)))


def _are_set(ends: NDArray[np.int64], pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether pixels are set, given their offsets in the box and the ends of its runs."""
    import numpy as np

    odd: NDArray[np.bool_] = np.searchsorted(ends, pixels, side="right") % 2 == 1
    return odd
