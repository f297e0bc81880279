"""Scale and pad or crop an image to a network's input size as Ultralytics does.

Equal to Ultralytics to the last bit, including how it rounds. Needs no torch.
"""

from __future__ import annotations

import cv2
import numpy as np
import PIL.Image
from attrs import frozen
from PIL import ImageOps
from PIL.ExifTags import Base

from aa_functions.pictures import is_deep, to_rgb

GREY = (114, 114, 114)
"""Colour of the padding."""

# Each core has its own image: more threads would only disturb each other.
cv2.setNumThreads(0)


@frozen(kw_only=True)
class BoxedImage:
    """An image that is ready for the network."""

    size: tuple[int, int]
    """Height and width of the original."""
    boxed: np.ndarray
    """Scaled, and padded or cropped, (height, width, 3), BGR, 8 bits."""


def box_image(image: PIL.Image.Image, size: tuple[int, int], stride: int) -> BoxedImage:
    """Turn an image upright, convert it to 8 bits, scale it into `size` and pad it.

    Args:
        image: Of any mode. Its EXIF orientation is applied.
        size: Height and width into which the image is scaled, keeping its aspect ratio.
        stride: The image is padded until its sides are multiples of this many pixels.

    Raises PictureError.
    """
    pixels = np.asarray(_upright_rgb(image))
    height, width = pixels.shape[:2]
    gain = min(size[0] / height, size[1] / width)
    scaled_width, scaled_height = max(round(width * gain), 1), max(round(height * gain), 1)
    if (scaled_width, scaled_height) != (width, height):
        pixels = cv2.resize(pixels, (scaled_width, scaled_height), interpolation=cv2.INTER_LINEAR)
    across = (size[1] - scaled_width) % stride / 2
    down = (size[0] - scaled_height) % stride / 2
    # The swap comes last: the small image has fewer pixels.
    padded = cv2.copyMakeBorder(
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        *(round(down - 0.1), round(down + 0.1), round(across - 0.1), round(across + 0.1)),
        cv2.BORDER_CONSTANT,
        value=GREY,
    )
    return BoxedImage(size=(height, width), boxed=padded)


def crop_image(image: PIL.Image.Image, size: tuple[int, int]) -> BoxedImage:
    """Turn an image upright, convert it to 8 bits, scale it and cut out the centre.

    Args:
        image: Of any mode. Its EXIF orientation is applied.
        size: Height and width of the result. If they are equal the aspect ratio is kept.

    Raises PictureError.
    """
    upright = _upright_rgb(image)
    width, height = upright.size
    scaled = (size[1], size[0])
    if size[0] == size[1]:
        short = min(width, height)
        scaled = (int(size[0] * width / short), int(size[0] * height / short))
    if scaled != upright.size:
        upright = upright.resize(scaled, PIL.Image.Resampling.BILINEAR)
    left, top = round((scaled[0] - size[1]) / 2), round((scaled[1] - size[0]) / 2)
    centre = np.asarray(upright)[top : top + size[0], left : left + size[1]]
    return BoxedImage(size=(height, width), boxed=np.ascontiguousarray(centre[..., ::-1]))


def _upright_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    if is_deep(image):
        image = to_rgb(image)
    if image.getexif().get(Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return to_rgb(image)
