"""Decode frames of a video chunk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from typing import Any, BinaryIO, cast

import PIL.Image

from cvat_flows.tasks.fetch.images import Picture, Sizes

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
    without an error. The frames of a small chunk are kept meanwhile; a large one is decoded twice.

    Args:
        file: The chunk. `close` closes it.
        updated: CVAT's date of the chunk's content.
        count: How many frames the chunk must have.
        sizes: Widths and heights that a frame may have.
        download_again: Returns the chunk as a new file, or None if that makes no sense any more.
    """

    def __init__(
        self,
        file: BinaryIO,
        updated: str | None = None,
        *,
        count: int,
        sizes: Sizes,
        download_again: Callable[[], BinaryIO | None] = lambda: None,
    ) -> None:
        self.updated = updated
        self._file = file
        self._count, self._sizes = count, sizes
        self._download_again = download_again
        self._lock = threading.Lock()
        self._is_intact: bool | None = None
        """None: not decoded yet."""
        self._held: dict[int, Any] = {}
        """Frames that were decoded for the check and not returned yet."""
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
        held: dict[int, Any] = {}
        try:
            for index, frame in enumerate(self._decode()):
                if frame.width * frame.height * self._count <= MAX_HELD_PIXELS:
                    held[index] = frame
        except DamagedVideo:
            file = self._download_again()
            if file is None:
                self._is_intact = False
            else:
                self._file.close()
                self._file = file
            return
        self._held, self._is_intact = held, True

    def _frame(self, index: int) -> Any:
        if index in self._held:
            return self._held.pop(index)
        # Batches take a chunk's frames in order, so one pass serves them all.
        if index < self._next:
            self._frames, self._next = self._decode(), 0
        while True:
            frame = next(self._frames)
            self._next += 1
            if self._next > index:
                return frame

    def _decode(self) -> Iterator[Any]:
        """Yield all frames. Raises DamagedVideo, at the latest in place of a next frame."""
        import av  # most tasks have no video

        self._file.seek(0)
        found = 0
        try:
            with av.open(self._file, "r") as container:
                stream = container.streams.video[0]
                # A frame of another size could need any amount of memory.
                if (stream.width, stream.height) not in self._sizes:
                    raise DamagedVideo
                stream.thread_type = "AUTO"
                stream.codec_context.options = {"err_detect": "explode"}
                for frame in container.decode(stream):
                    found += 1
                    is_wanted = (frame.width, frame.height) in self._sizes
                    if frame.is_corrupt or not is_wanted or found > self._count:
                        raise DamagedVideo
                    yield frame
        except (av.FFmpegError, IndexError, ValueError) as error:
            raise DamagedVideo from error
        if found < self._count:
            raise DamagedVideo


def _to_picture(frame: Any) -> Picture:
    image = cast(PIL.Image.Image, frame.to_image())
    digest = sha256(f"{image.mode} {image.width}x{image.height} ".encode())
    digest.update(image.tobytes())
    return Picture(image=image, content_hash=digest.hexdigest(), decode=frame.to_image)
