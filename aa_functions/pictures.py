"""Convert a picture of any mode to 8 bits a channel.

Pillow's own conversion cuts grey values above 255 off, so a picture of 16 or 32 bits becomes white,
and one with values from 0 to 1 becomes black.
"""

from __future__ import annotations

import numpy as np
import PIL.Image

from aa_functions.errors import PictureError

_DEEP_MODES = ("I", "F")
"""How the names of the modes begin that have one channel of more than 8 bits."""


def is_deep(image: PIL.Image.Image) -> bool:
    """Return whether the image is grey with more than 8 bits: mode I;16, I, F or the like."""
    return image.mode.startswith(_DEEP_MODES)


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return the image in mode RGB, with 8 bits a channel.

    Grey of more than 8 bits is scaled. The largest value of the image says what is white:

    | largest value | white | result |
    |---|---|---|
    | at most 1, mode F only | 1 | `value * 255`, rounded |
    | at most 255 | 255 | `value` |
    | at most 4,095 | 4,095 (12 bits) | `value // 16` |
    | at most 65,535 | 65,535 (16 bits) | `value // 256` |

    All other modes are converted as `image.convert("RGB")` does.

    Args:
        image: Of any mode.

    Returns:
        A new image, or `image` itself if its mode is RGB.

    Raises:
        PictureError: if the image has negative or larger values, or values that are not numbers,
            or if Pillow cannot convert its mode.

    >>> import PIL.Image
    >>> to_rgb(PIL.Image.new("I;16", (8, 8), 65535)).getpixel((0, 0))
    (255, 255, 255)
    """
    if image.mode == "RGB":
        return image
    if not is_deep(image):
        try:
            return image.convert("RGB")
        except ValueError as error:
            raise PictureError(
                f"The picture has the mode {image.mode}, which cannot be converted to RGB: save it "
                "as RGB or grey."
            ) from error
    grey = PIL.Image.fromarray(_to_eight_bits(np.asarray(image), image.mode))
    grey.info = dict(image.info)  # may hold the orientation
    return grey.convert("RGB")


def _to_eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65535):  # also if they are not numbers
        raise PictureError(
            f"The picture (mode {mode}) has values from {low:g} to {high:g}, but only grey values "
            "from 0 to 65,535 can be scaled to 8 bits: save it with 8 or 16 bits, or use a "
            "function that converts it itself."
        )
    scaled: np.ndarray
    if mode == "F" and high <= 1:
        scaled = np.rint(values * 255)
    else:
        scaled = values.astype(np.uint16) >> (0 if high <= 255 else 4 if high <= 4095 else 8)
    return scaled.astype(np.uint8)
