"""Make loaded frames of what was downloaded: of a chunk, or frame by frame where a chunk fails."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from cvat_sdk import Client

from cvat_flows.tasks.cvat.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.http import get, interruptible
from cvat_flows.tasks.fetch.chunks import Chunk, ImageChunk, OpenVideoChunk
from cvat_flows.tasks.fetch.images import (
    ImageUnreadable,
    LoadedFrame,
    Picture,
    hash_of,
    picture_of,
    reuse_image_memory,
)
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.media import TaskMedia

NICENESS = 10


def _give_way() -> None:
    """Let a model that runs on the same cores go before this thread.

    What is decoded between two batches costs less than what is decoded beside the model, where the
    two push each other out of the processor's caches: 3 % of a run of YOLOv8n.
    """
    if sys.platform == "linux":  # where each thread has a niceness of its own
        os.nice(NICENESS)


class KnownDetections(Protocol):
    """What a FrameSource asks of the detection cache."""

    def get(self, content_hash: str) -> tuple[Detection, ...] | None: ...
    def get_many(self, hashes: Iterable[str]) -> Mapping[str, tuple[Detection, ...]]: ...


class FrameLoader:
    """Decodes frames in threads of its own, those whose detections are not cached."""

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
        self._client = client
        self._media = media
        self._cache = cache
        self._stop = stop
        self._decoders = ThreadPoolExecutor(
            threads, thread_name_prefix="decode", initializer=_give_way
        )

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._decoders.shutdown(wait=True, cancel_futures=True)

    def cached(self, frames: Iterable[Frame], hashes: Mapping[int, str]) -> dict[int, LoadedFrame]:
        """The frames, by number, of whose content (`hashes`) the cache knows the detections."""
        if self._cache is None:
            return {}
        wanted = [(frame, hashes[frame.number]) for frame in frames if frame.number in hashes]
        known = self._cache.get_many(content_hash for _, content_hash in wanted)
        return {
            frame.number: _known(frame, content_hash, known[content_hash])
            for frame, content_hash in wanted
            if content_hash in known
        }

    def _from_cache(self, frame: Frame, content_hash: str) -> LoadedFrame | None:
        detections = self._cache.get(content_hash) if self._cache is not None else None
        return None if detections is None else _known(frame, content_hash, detections)

    def images(self, chunk: Chunk | None, frames: list[Frame]) -> list[LoadedFrame]:
        """Load the frames from their chunk; what it does not yield, or all without one, singly.

        Raises CvatRefused and CvatUnavailable.
        """
        size = self._media.chunk_size
        if isinstance(chunk, OpenVideoChunk):
            pictures = chunk.pictures([frame.number % size for frame in frames])
            return [self._video_frame(f, pictures.get(f.number % size)) for f in frames]
        if isinstance(chunk, ImageChunk):
            return self._from_archive(chunk, frames)
        return [self._one_by_one(frame) for frame in frames]

    def _video_frame(self, frame: Frame, picture: Picture | None) -> LoadedFrame:
        if picture is None:
            return self._one_by_one(frame)
        return self._from_cache(frame, picture.content_hash) or _loaded(frame, picture)

    def _from_archive(self, archive: ImageChunk, frames: list[Frame]) -> list[LoadedFrame]:
        size = self._media.chunk_size

        def read(frame: Frame) -> tuple[bytes, str] | None:
            content = archive.read(frame.number % size)
            return None if content is None else (content, hash_of(content))

        def image(frame: Frame, entry: tuple[bytes, str] | None) -> LoadedFrame:
            if frame.number in cached:
                return cached[frame.number]
            if entry is not None:
                try:
                    return _loaded(frame, picture_of(*entry))
                except ImageUnreadable:
                    # Was it the chunk, or is it the image?
                    pass
            return self._one_by_one(frame)

        entries = list(self._decoders.map(read, frames))
        hashes = {f.number: entry[1] for f, entry in zip(frames, entries, strict=True) if entry}
        # All at once: a cache across a network answers many as fast as one.
        cached = self.cached(frames, hashes)
        return list(self._decoders.map(image, frames, entries))

    def _decoded(self, frame: Frame, content: bytes) -> LoadedFrame:
        content_hash = hash_of(content)
        known = self._from_cache(frame, content_hash)
        return known or _loaded(frame, picture_of(content, content_hash))

    def _one_by_one(self, frame: Frame) -> LoadedFrame:
        """Fetch a single frame; one that CVAT cannot give or Pillow cannot read is a failed one."""
        try:
            answer = get(
                self._client,
                f"/api/tasks/{self._media.task_id}/data",
                subject=f"frame {frame.number} ({frame.name}) of task {self._media.task_id}",
                wait=interruptible(self._stop),
                type="frame",
                number=frame.number,
                quality="original",
            )
            return self._decoded(frame, answer.body)
        except ImageUnreadable as error:
            return failed_frame(frame, error)
        except CvatUnavailable as error:
            if getattr(error.__cause__, "status", None) != 500:
                raise
            return failed_frame(frame, error)
        except CvatRefused as error:
            if error.status != 400:
                raise
            return failed_frame(frame, error)


def failed_frame(frame: Frame, error: Exception) -> LoadedFrame:
    """The frame as one that failed while being fetched."""
    reason = f"{frame}: {error}" if isinstance(error, ImageUnreadable) else str(error)
    return LoadedFrame(
        outcome=Outcome(
            frame=frame,
            failure=Failure(
                step="fetch",
                error=reason,
                error_type=type(error).__name__,
                detail=str(error.__cause__ or ""),
            ),
        )
    )


def _known(frame: Frame, content_hash: str, detections: tuple[Detection, ...]) -> LoadedFrame:
    return LoadedFrame(
        outcome=Outcome(frame=frame, content_hash=content_hash, detections=detections, cached=True)
    )


def _loaded(frame: Frame, picture: Picture) -> LoadedFrame:
    return LoadedFrame(
        outcome=Outcome(frame=frame, content_hash=picture.content_hash), picture=picture
    )
