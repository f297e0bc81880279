"""Decode image files.

The result is what the SDK's driver passes to `detect`: the image as Pillow opens it, in its
original mode, loaded. It is upright and has the size that CVAT says, because the coordinates of
annotations are pixels of that picture.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, BinaryIO

import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
from attrs import evolve, field, frozen

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Frame, Outcome

MAX_POOLED_BLOCKS = 128
MAX_PIXELS_VARIABLE = "CVAT_FLOWS_MAX_IMAGE_PIXELS"
_ORIENTATION = 0x0112
_TURNED = range(2, 9)
"""Values of the EXIF orientation of pictures that are stored turned or mirrored."""

Sizes = Sequence[tuple[int, int]]
"""Widths and heights, in pixels, that a frame's image may have. The first is what CVAT says."""


class ImageUnreadable(CvatFlowsError):
    """The content of a frame cannot be decoded as an image."""


class ImageSizeDiffers(ImageUnreadable):
    """An image does not have the size that CVAT says, so annotations would be misplaced."""


class BadPixelLimit(CvatFlowsError):
    """The environment variable with the largest number of pixels is not a number."""


@frozen(kw_only=True, eq=False)
class Picture:
    """A decoded image, and a way to decode it again."""

    image: PIL.Image.Image
    content_hash: str
    """SHA-256 in hexadecimal: of the bytes of an image file, or of the pixels of a video frame."""
    decode: Callable[[], PIL.Image.Image] = field(repr=False)
    """Returns a new image. A function may have drawn on the first one before it failed."""


@frozen(kw_only=True, eq=False)
class LoadedFrame:
    """A frame that is ready for the function.

    It has a picture unless its outcome has a failure (the frame cannot be read) or detections (they
    were cached).
    """

    outcome: Outcome
    picture: Picture | None = field(default=None, repr=False)

    @property
    def frame(self) -> Frame:
        return self.outcome.frame

    @property
    def image(self) -> PIL.Image.Image | None:
        return self.picture.image if self.picture else None

    def fresh(self) -> LoadedFrame:
        """Return the frame with a newly decoded image, for another attempt."""
        if self.picture is None:
            return self
        picture = evolve(self.picture, image=self.picture.decode())
        return LoadedFrame(outcome=self.outcome, picture=picture)


# Ultralytics replaces `PIL.Image.open` by a function that runs pip if it does not know a format.
# This is Pillow's own function, whichever package was imported first.
_open: Callable[[BinaryIO], PIL.Image.Image] = getattr(
    sys.modules.get("ultralytics.utils.patches"), "_image_open", PIL.Image.open
)


def hash_file(content: bytes) -> str:
    """Return the SHA-256 of an image file's bytes, in hexadecimal."""
    return sha256(content).hexdigest()


def reuse_image_memory() -> None:
    """Let Pillow keep the memory of released images for new ones, unless that is configured.

    Without it the system allocates and frees each image's memory page by page, which takes a
    quarter of the time of decoding a batch of JPEG images. A block is an image, or 16 MB of one.
    """
    pillow: Any = PIL.Image
    if pillow.core.get_blocks_max() == 0:
        pillow.core.set_blocks_max(MAX_POOLED_BLOCKS)


def set_pixel_limit() -> None:
    """Give Pillow the limit of the environment variable, if it is set. Raises BadPixelLimit.

    By default Pillow refuses images of more than 178,956,970 pixels.
    """
    text = os.environ.get(MAX_PIXELS_VARIABLE)
    if not text:
        return
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadPixelLimit(f"{MAX_PIXELS_VARIABLE} is {text!r}, but must be a number of pixels")
    # Pillow warns at this value and refuses at twice the value.
    PIL.Image.MAX_IMAGE_PIXELS = (int(text) + 1) // 2


def has_size(content: bytes, sizes: Sizes) -> bool:
    """Return whether an image file says that it has one of the sizes and is upright.

    Reads only the beginning of the file. False also means that the file cannot be read.
    """
    try:
        with _open(io.BytesIO(content)) as image:
            return image.size in sizes and _orientation(image) not in _TURNED
    except Exception:
        return False


def decode_image(content: bytes, sizes: Sizes) -> PIL.Image.Image:
    """Open and load an image file, and turn it upright. Thread-safe, and mostly without the GIL.

    Args:
        content: The image file.
        sizes: What is allowed. A file of another size is not loaded: it could need any amount of
            memory.

    Raises:
        ImageSizeDiffers: if the upright image has another size.
        ImageUnreadable: if the file is not an image, is truncated, or has so many pixels that
            Pillow treats it as a decompression bomb (`set_pixel_limit`).
    """
    # Some libraries turn this on; then half an image would pass as a whole one.
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image = _open(io.BytesIO(content))
        if image.size not in sizes and image.size[::-1] not in sizes:
            raise _size_differs(image.size, sizes)
        # Read the file in one block: between blocks a decoder waits for the GIL.
        if isinstance(image, PIL.ImageFile.ImageFile):
            image.decodermaxblock = max(image.decodermaxblock, len(content))
        image.load()
        if _orientation(image) in _TURNED:
            image = PIL.ImageOps.exif_transpose(image)
    except ImageUnreadable:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ImageUnreadable(
            f"the image is too large to be decoded safely: {error}; if it really is that large, "
            f"set {MAX_PIXELS_VARIABLE} to more than its number of pixels"
        ) from error
    except PIL.UnidentifiedImageError as error:
        raise ImageUnreadable(
            f"the file ({len(content):,} bytes) is not an image that Pillow can read"
        ) from error
    except MemoryError as error:
        raise ImageUnreadable("the image is too large for the free memory") from error
    # On damaged files Pillow's decoders raise many types: OSError, SyntaxError, ValueError, ...
    except Exception as error:
        raise ImageUnreadable(f"the image is damaged: {error}") from error
    if image.size not in sizes:
        raise _size_differs(image.size, sizes)
    return image


def decode_picture(content: bytes, content_hash: str, sizes: Sizes) -> Picture:
    """Decode an image file. Raises ImageUnreadable."""
    return Picture(
        image=decode_image(content, sizes),
        content_hash=content_hash,
        decode=lambda: decode_image(content, sizes),
    )


def _orientation(image: PIL.Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # EXIF that cannot be read says nothing
        return None


def _size_differs(size: tuple[int, int], sizes: Sizes) -> ImageSizeDiffers:
    width, height = sizes[0]
    return ImageSizeDiffers(
        f"the image has {size[0]}x{size[1]} pixels, but CVAT says {width}x{height}, so annotations "
        "would be misplaced: save the image upright and without an orientation tag, and upload it "
        "to a new CVAT task"
    )
