"""Decode image files.

The result is what the SDK's driver passes to `detect`: the image as Pillow opens it, in its
original mode, loaded.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from hashlib import sha256
from typing import Any, BinaryIO

import PIL.Image
import PIL.ImageFile
from attrs import evolve, field, frozen

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Frame, Outcome

MAX_POOLED_BLOCKS = 128


class ImageUnreadable(CvatFlowsError):
    """The content of a frame cannot be decoded as an image."""


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


def decode_image(content: bytes) -> PIL.Image.Image:
    """Open and load an image file. Thread-safe, and mostly without the GIL.

    Raises ImageUnreadable if the file is not an image, is truncated, or is so large that Pillow
    treats it as a decompression bomb (more than twice `PIL.Image.MAX_IMAGE_PIXELS`).
    """
    # Some libraries turn this on; then half an image would pass as a whole one.
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image = _open(io.BytesIO(content))
        # Read the file in one block: between blocks a decoder waits for the GIL.
        if isinstance(image, PIL.ImageFile.ImageFile):
            image.decodermaxblock = max(image.decodermaxblock, len(content))
        image.load()
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ImageUnreadable(f"the image is too large to be decoded safely: {error}") from error
    except PIL.UnidentifiedImageError as error:
        raise ImageUnreadable(
            f"the file ({len(content):,} bytes) is not an image that Pillow can read"
        ) from error
    except MemoryError as error:
        raise ImageUnreadable("the image is too large for the free memory") from error
    # On damaged files Pillow's decoders raise many types: OSError, SyntaxError, ValueError, ...
    except Exception as error:
        raise ImageUnreadable(f"the image is damaged: {error}") from error
    return image


def decode_picture(content: bytes, content_hash: str) -> Picture:
    """Decode an image file. Raises ImageUnreadable."""
    return Picture(
        image=decode_image(content),
        content_hash=content_hash,
        decode=lambda: decode_image(content),
    )
