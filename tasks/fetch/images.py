"""Decode frames: from the bytes of an image file, or from a chunk of video.

What comes out is what the SDK's driver would hand to `detect`: the picture as Pillow opens it,
in its own mode, loaded.
"""

from __future__ import annotations

import hashlib
import io
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO, cast

import av
import PIL.Image
import PIL.ImageFile
from attrs import evolve, field, frozen

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Frame, Outcome

KEPT_BLOCKS = 128


class ImageUnreadable(CvatFlowsError):
    """The content of a frame is no readable picture."""


@frozen(kw_only=True, eq=False)
class Picture:
    """A decoded image and the way to get it once more, untouched."""

    image: PIL.Image.Image
    content_hash: str
    """SHA-256, hexadecimal: of an image file its bytes, of a video frame its pixels."""
    decode: Callable[[], PIL.Image.Image] = field(repr=False)
    """Makes a fresh image: a function may have drawn on the first one before it failed."""


@frozen(kw_only=True, eq=False)
class LoadedFrame:
    """A frame on its way to the function: with its picture, or with what made one needless."""

    outcome: Outcome
    """With `failure` if the frame cannot be read, with `detections` if they were cached."""
    picture: Picture | None = field(default=None, repr=False)

    @property
    def frame(self) -> Frame:
        return self.outcome.frame

    @property
    def image(self) -> PIL.Image.Image | None:
        return self.picture.image if self.picture else None

    def fresh(self) -> LoadedFrame:
        """The same frame with a newly decoded image, for another attempt."""
        if self.picture is None:
            return self
        picture = evolve(self.picture, image=self.picture.decode())
        return LoadedFrame(outcome=self.outcome, picture=picture)


def hash_of(content: bytes) -> str:
    """SHA-256 of an image file's bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


# Ultralytics replaces `PIL.Image.open` with a function that answers an unknown format by running
# pip. This is Pillow's own, whichever of the two was imported first.
_open: Callable[[BinaryIO], PIL.Image.Image] = getattr(
    sys.modules.get("ultralytics.utils.patches"), "_image_open", PIL.Image.open
)


def reuse_image_memory() -> None:
    """Let Pillow keep the memory of images for the next ones, unless its user has decided that.

    Without it the system hands out and takes back every image's memory, page by page: a quarter
    of the time that decoding a batch of JPEG images takes. A block is an image, or 16 MB of one.
    """
    pillow: Any = PIL.Image
    if pillow.core.get_blocks_max() == 0:
        pillow.core.set_blocks_max(KEPT_BLOCKS)


def decode_image(content: bytes) -> PIL.Image.Image:
    """Open and load an image file; thread-safe, most of it outside the interpreter lock.

    Raises ImageUnreadable: not an image, truncated, or so large that Pillow takes it for a
    decompression bomb (more than twice `PIL.Image.MAX_IMAGE_PIXELS`).
    """
    # A switch that libraries turn on: half an image would pass for a whole one.
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image = _open(io.BytesIO(content))
        # The whole file in one piece: between pieces a decoder waits for the interpreter lock.
        if isinstance(image, PIL.ImageFile.ImageFile):
            image.decodermaxblock = max(image.decodermaxblock, len(content))
        image.load()
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ImageUnreadable(f"the image is too large to be decoded safely: {error}") from error
    except PIL.UnidentifiedImageError as error:
        raise ImageUnreadable(
            f"the file ({len(content):,} bytes) is no image that Pillow can read"
        ) from error
    except MemoryError as error:
        raise ImageUnreadable("the image is too large for the memory that is left") from error
    # Pillow's decoders raise all sorts on damaged files: OSError, SyntaxError, ValueError, ...
    except Exception as error:
        raise ImageUnreadable(f"the image is damaged: {error}") from error
    return image


def picture_of(content: bytes, content_hash: str) -> Picture:
    """Decode an image file. Raises ImageUnreadable."""
    return Picture(
        image=decode_image(content),
        content_hash=content_hash,
        decode=lambda: decode_image(content),
    )


class VideoChunk:
    """Frames of a video chunk by their index in it, decoded as far as asked for.

    Batches take a chunk's frames in order, so one pass over the chunk serves them all; going
    back costs a new pass. Thread-safe.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._next = 0

    def pictures(self, indexes: Collection[int]) -> dict[int, Picture]:
        """Decode the frames at these indexes; those that the chunk does not yield are missing."""
        wanted = sorted(indexes)
        found: dict[int, Picture] = {}
        with self._lock:
            if wanted and (self._container is None or wanted[0] < self._next):
                self._rewind()
            for index in wanted:
                frame = self._advance_to(index)
                if frame is None:
                    break
                found[index] = _picture_of_video_frame(frame)
        return found

    def close(self) -> None:
        with self._lock:
            if self._container is not None:
                self._container.close()
                self._container = None
            self._frames = iter(())

    def _rewind(self) -> None:
        if self._container is not None:
            self._container.close()
        self._file.seek(0)
        try:
            self._container = av.open(self._file, "r")
            stream = self._container.streams.video[0]
            stream.thread_type = "AUTO"
            self._frames = self._container.decode(stream)
        except (av.FFmpegError, IndexError):
            self._frames = iter(())
        self._next = 0

    def _advance_to(self, index: int) -> Any:
        frame = None
        while self._next <= index:
            try:
                frame = next(self._frames)
            except (StopIteration, av.FFmpegError):
                self._frames = iter(())
                return None
            self._next += 1
        return frame


def _picture_of_video_frame(frame: Any) -> Picture:
    image = cast(PIL.Image.Image, frame.to_image())
    digest = hashlib.sha256(f"{image.mode} {image.width}x{image.height} ".encode())
    digest.update(image.tobytes())
    return Picture(image=image, content_hash=digest.hexdigest(), decode=frame.to_image)
