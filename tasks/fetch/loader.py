"""Load frames from a downloaded chunk, or one by one if the chunk is unusable."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.client.http import get
from cvat_flows.tasks.cvat.client.retry import interruptible
from cvat_flows.tasks.fetch.chunks import Chunk, ImageChunk
from cvat_flows.tasks.fetch.images import (
    ImageUnreadable,
    LoadedFrame,
    Picture,
    decode_picture,
    has_size,
    hash_file,
    reuse_image_memory,
    set_pixel_limit,
)
from cvat_flows.tasks.fetch.video import VideoChunk
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import shorten_name

NICENESS = 10


class KnownDetections(Protocol):
    """What loading needs from the detection cache."""

    def find(self, images: Iterable[tuple[Frame, str]]) -> Mapping[int, tuple[Detection, ...]]: ...


class FrameLoader:
    """Loads frames in its own threads. Images with cached detections are not decoded.

    Args:
        client: For frames that are downloaded one by one.
        media: The task's frames.
        cache: Known detections; None to decode every image.
        stop: Cancels waiting for CVAT.
        threads: How many images are decoded in parallel.
    """

    def __init__(
        self,
        client: Client,
        media: TaskMedia,
        cache: KnownDetections | None,
        *,
        stop: threading.Event,
        threads: int,
    ) -> None:
        reuse_image_memory()
        set_pixel_limit()
        self._client = client
        self._media = media
        self._cache = cache
        self._stop = stop
        self._decoders = ThreadPoolExecutor(
            threads, thread_name_prefix="decode", initializer=_lower_thread_priority
        )

    def close(self) -> None:
        """Wait for the images that are being decoded and end the threads."""
        self._decoders.shutdown(wait=True, cancel_futures=True)

    def find_cached(
        self, frames: Iterable[Frame], hashes: Mapping[int, str]
    ) -> dict[int, LoadedFrame]:
        """Return the frames with cached detections, by number.

        `hashes` are content hashes by frame number.
        """
        if self._cache is None:
            return {}
        wanted = [(frame, hashes[frame.number]) for frame in frames if frame.number in hashes]
        known = self._cache.find(wanted)
        return {
            frame.number: _cached_frame(frame, content_hash, known[frame.number])
            for frame, content_hash in wanted
            if frame.number in known
        }

    def load(self, chunk: Chunk | None, frames: list[Frame]) -> list[LoadedFrame]:
        """Load frames from their chunk.

        Frames that the chunk does not contain, and all frames if there is no chunk, are downloaded
        one by one. Raises CvatRefused and CvatUnavailable.
        """
        index = self._media.index_in_chunk
        if isinstance(chunk, VideoChunk):
            pictures = chunk.pictures([index(frame) for frame in frames])
            return [self._video_frame(frame, pictures.get(index(frame))) for frame in frames]
        if isinstance(chunk, ImageChunk):
            return self._from_archive(chunk, frames)
        return [self._download(frame) for frame in frames]

    def _video_frame(self, frame: Frame, picture: Picture | None) -> LoadedFrame:
        if picture is None:
            return self._download(frame)
        return self._from_cache(frame, picture.content_hash) or _loaded_frame(frame, picture)

    def _from_archive(self, archive: ImageChunk, frames: list[Frame]) -> list[LoadedFrame]:
        def read(frame: Frame) -> tuple[bytes, str] | None:
            content = archive.read(self._media.index_in_chunk(frame))
            return None if content is None else (content, hash_file(content))

        def decode(frame: Frame, entry: tuple[bytes, str] | None) -> LoadedFrame:
            if entry is None:
                return self._download(frame)
            known, sizes = cached.get(frame.number), self._media.image_sizes(frame)
            # The detections may come from a task in which the same image has another size.
            if known is not None and has_size(entry[0], sizes):
                return known
            try:
                picture = decode_picture(*entry, sizes)
            except ImageUnreadable:
                # Either the chunk or the image is damaged; downloading the frame tells which.
                return self._download(frame)
            return known or _loaded_frame(frame, picture)

        entries = list(self._decoders.map(read, frames))
        hashes = {f.number: entry[1] for f, entry in zip(frames, entries, strict=True) if entry}
        # One query for all frames: a remote cache answers it as fast as a query for one.
        cached = self.find_cached(frames, hashes)
        return list(self._decoders.map(decode, frames, entries))

    def _from_cache(self, frame: Frame, content_hash: str) -> LoadedFrame | None:
        return self.find_cached([frame], {frame.number: content_hash}).get(frame.number)

    def _download(self, frame: Frame) -> LoadedFrame:
        """Download a single frame. It fails if CVAT cannot read it or Pillow cannot decode it."""
        try:
            answer = get(
                self._client,
                self._media.data_path,
                subject=f"frame {frame.number} ({shorten_name(frame.name, 80)}) of task "
                f"{self._media.task_id}",
                wait=interruptible(self._stop),
                type="frame",
                number=frame.number,
                quality="original",
            )
            picture = decode_picture(
                answer.body, hash_file(answer.body), self._media.image_sizes(frame)
            )
            return self._from_cache(frame, picture.content_hash) or _loaded_frame(frame, picture)
        except ImageUnreadable as error:
            return _failed_frame(frame, error, f"{frame}: {error}")
        except CvatUnavailable as error:
            if getattr(error.__cause__, "status", None) != 500:
                raise
            return _failed_frame(frame, error, str(error))
        except CvatRefused as error:
            if error.status != 400:
                raise
            return _failed_frame(frame, error, str(error))


def _lower_thread_priority() -> None:
    """Give a model that runs on the same cores priority over this thread.

    Decoding between two batches is cheaper than decoding while the model runs: in parallel, the two
    evict each other's data from the CPU caches.
    """
    if sys.platform == "linux":  # where each thread has its own niceness
        os.nice(NICENESS)


def _failed_frame(frame: Frame, error: Exception, message: str) -> LoadedFrame:
    return LoadedFrame(
        outcome=Outcome(
            frame=frame,
            failure=Failure(
                step="fetch",
                error=message,
                error_type=type(error).__name__,
                detail=str(error.__cause__ or ""),
                # A damaged image stays damaged. An internal error of CVAT may pass.
                final=not isinstance(error, CvatUnavailable),
            ),
        )
    )


def _cached_frame(
    frame: Frame, content_hash: str, detections: tuple[Detection, ...]
) -> LoadedFrame:
    return LoadedFrame(
        outcome=Outcome(frame=frame, content_hash=content_hash, detections=detections, cached=True)
    )


def _loaded_frame(frame: Frame, picture: Picture) -> LoadedFrame:
    return LoadedFrame(
        outcome=Outcome(frame=frame, content_hash=picture.content_hash), picture=picture
    )
