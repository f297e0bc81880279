"""Decode frames of a video chunk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from typing import Any, BinaryIO, cast

import av
import PIL.Image

from cvat_flows.tasks.fetch.images import Picture

MAX_HELD_PIXELS = 150_000_000
"""Pixels of a chunk's frames in total: 0.2 GB as they are decoded. 36 frames of 1920x1080 are below
the limit."""


class DamagedVideo(Exception):
    """A video chunk cannot be decoded as a whole."""


class VideoChunk:
    """Frames of a video chunk by their index in the chunk. Thread-safe.

    A decoder hides damage: it invents pixels, or leaves frames out, which shifts those that follow.
    What is damaged is often known only some frames later, because frames are stored in another
    order than they are shown. So no frame is returned until the whole chunk has been decoded
    without an error. The frames of a small chunk are kept for that; a large chunk is decoded twice.

    Args:
        file: The chunk. `close` closes it.
        updated: CVAT's date of the chunk's content.
        count: How many frames the chunk must have.
        download_again: Returns the chunk as a new file, or None if that makes no sense any more.
    """

    def __init__(
        self,
        file: BinaryIO,
        updated: str | None = None,
        *,
        count: int,
        download_again: Callable[[], BinaryIO | None] = lambda: None,
    ) -> None:
        self.updated = updated
        self._file = file
        self._count = count
        self._download_again = download_again
        self._lock = threading.Lock()
        self._is_intact: bool | None = None
        """None: not decoded yet."""
        self._held: list[Any] = []
        """All frames, unless they are too large."""
        self._frames: Iterator[Any] = iter(())
        self._next = count

    def pictures(self, indexes: Collection[int]) -> dict[int, Picture]:
        """Return the frames at these indexes; none if the chunk is damaged.

        A chunk that is damaged is downloaded again. Raises what `download_again` raises.
        """
        with self._lock:
            while self._is_intact is None:
                self._check()
            if not self._is_intact:
                return {}
            wanted = sorted(index for index in indexes if index < self._count)
            return {index: _to_picture(self._frame(index)) for index in wanted}

    def close(self) -> None:
        with self._lock:
            self._held.clear()
            self._frames = iter(())
        self._file.close()

    def _check(self) -> None:
        """Decode the whole chunk. If it is damaged, replace its file, if possible."""
        held: list[Any] = []
        try:
            for frame in _decode(self._file, self._count):
                held.append(frame)
                if frame.width * frame.height * self._count > MAX_HELD_PIXELS:
                    held.clear()
        except DamagedVideo:
            file = self._download_again()
            if file is None:
                self._is_intact = False
            else:
                self._file.close()
                self._file = file
            return
        self._held = held if len(held) == self._count else []
        self._is_intact = True

    def _frame(self, index: int) -> Any:
        if self._held:
            return self._held[index]
        # Batches take a chunk's frames in order, so one pass serves them all.
        if index < self._next:
            self._frames, self._next = _decode(self._file, self._count), 0
        while True:
            frame = next(self._frames)
            self._next += 1
            if self._next > index:
                return frame


def _decode(file: BinaryIO, count: int) -> Iterator[Any]:
    """Yield `count` frames, then raise DamagedVideo if there was any damage."""
    file.seek(0)
    found = 0
    try:
        with av.open(file, "r") as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"err_detect": "explode"}
            for frame in container.decode(stream):
                found += 1
                if frame.is_corrupt or found > count:
                    raise DamagedVideo
                yield frame
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise DamagedVideo from error
    if found < count:
        raise DamagedVideo


def _to_picture(frame: Any) -> Picture:
    image = cast(PIL.Image.Image, frame.to_image())
    digest = sha256(f"{image.mode} {image.width}x{image.height} ".encode())
    digest.update(image.tobytes())
    return Picture(image=image, content_hash=digest.hexdigest(), decode=frame.to_image)
