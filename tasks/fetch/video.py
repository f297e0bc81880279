"""Decode frames of a video chunk."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from hashlib import sha256
from typing import Any, BinaryIO, cast

import av
import PIL.Image

from cvat_flows.tasks.fetch.images import Picture


class VideoChunk:
    """Frames of a video chunk by their index in the chunk. Thread-safe.

    Frames are decoded only as far as needed. Batches take a chunk's frames in order, so one pass
    serves them all. Going back costs another pass.

    Args:
        file: The chunk. `close` closes it.
        updated: CVAT's date of the chunk's content.
    """

    def __init__(self, file: BinaryIO, updated: str | None = None) -> None:
        self.updated = updated
        self._file = file
        self._lock = threading.Lock()
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._next = 0

    def pictures(self, indexes: Collection[int]) -> dict[int, Picture]:
        """Decode the frames at these indexes. Frames that cannot be decoded are left out."""
        wanted = sorted(indexes)
        found: dict[int, Picture] = {}
        with self._lock:
            if wanted and (self._container is None or wanted[0] < self._next):
                self._rewind()
            for index in wanted:
                frame = self._advance_to(index)
                if frame is None:
                    break
                found[index] = _to_picture(frame)
        return found

    def close(self) -> None:
        with self._lock:
            if self._container is not None:
                self._container.close()
                self._container = None
            self._frames = iter(())
        self._file.close()

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


def _to_picture(frame: Any) -> Picture:
    image = cast(PIL.Image.Image, frame.to_image())
    digest = sha256(f"{image.mode} {image.width}x{image.height} ".encode())
    digest.update(image.tobytes())
    return Picture(image=image, content_hash=digest.hexdigest(), decode=frame.to_image)
