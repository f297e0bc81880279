"""Get the images of a batch: from the detection cache if possible, otherwise from CVAT.

A `FrameSource` downloads the next chunks while the model is busy, and holds a limited number of
them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol

from attrs import field, frozen
from cvat_sdk import Client

from aa_functions.processors import cpu_cores
from cvat_flows.tasks.cvat.client.retry import Wait, interruptible
from cvat_flows.tasks.fetch.chunks import Chunk, download_chunk
from cvat_flows.tasks.fetch.images import LoadedFrame
from cvat_flows.tasks.fetch.loader import FrameLoader, KnownDetections
from cvat_flows.tasks.fetch.prefetch import ChunkPrefetcher
from cvat_flows.tasks.model.frames import Batch, Frame
from cvat_flows.tasks.model.media import TaskMedia

CHUNKS_AHEAD = 2
"""Chunks that are downloaded before they are needed."""
DOWNLOAD_THREADS = 2
MAX_DECODE_THREADS = 16
MAX_SINGLE_DOWNLOADS = 2
"""For up to this many frames no chunk is downloaded; they are downloaded one by one."""


class KnownContent(Protocol):
    """Content hashes of the task's frames from earlier runs, by chunk."""

    def read(self, chunk: int) -> Mapping[int, str]: ...
    def add(self, chunk: int, hashes: Mapping[int, str]) -> None: ...


@frozen(kw_only=True, eq=False)
class _PreparedChunk:
    """A chunk's frames with cached detections, and the chunk for the other ones."""

    cached: Mapping[int, LoadedFrame] = field(factory=dict)
    chunk: Chunk | None = None
    """None if all planned frames are cached."""

    def close(self) -> None:
        if self.chunk is not None:
            self.chunk.close()


class FrameSource:
    """The images of a plan's batches. Use it as a context manager.

    With `cache` and `content`, frames with known detections come without an image, and a chunk with
    such frames only is not downloaded.

    Args:
        client: The CVAT server.
        media: The task's frames.
        batches: The batches that will be fetched, in order. Others can be fetched as well.
        cache: Known detections.
        content: Content hashes of the task's frames. Ignored without `cache`.
    """

    def __init__(
        self,
        client: Client,
        media: TaskMedia,
        batches: Sequence[Batch] = (),
        *,
        cache: KnownDetections | None = None,
        content: KnownContent | None = None,
    ) -> None:
        self._client = client
        self._media = media
        self._content = content if cache is not None else None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._pending: dict[int, dict[int, Batch]] = {}
        for batch in batches:
            self._pending.setdefault(batch.chunk, {})[batch.index] = batch
        self._hashes: dict[int, dict[int, str]] = {}
        self._loader = FrameLoader(
            client,
            media,
            cache,
            stop=self._stop,
            threads=min(cpu_cores() + 1, MAX_DECODE_THREADS),
        )
        self._uncached_loader = FrameLoader(client, media, None, stop=self._stop, threads=1)
        self._chunks = ChunkPrefetcher(
            self._prepare, list(self._pending), ahead=CHUNKS_AHEAD, threads=DOWNLOAD_THREADS
        )

    def __enter__(self) -> FrameSource:
        self._chunks.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def fetch(self, batch: Batch) -> list[LoadedFrame]:
        """Return the batch's frames in order, each with an image, detections or a failure.

        Can be called from several threads, and again for the same batch. Raises CvatUnavailable if
        a retry can help, and CvatRefused if it cannot.
        """
        with self._lock:
            planned = self._pending.get(batch.chunk, {}).get(batch.index)
        if planned != batch:
            # It was fetched before or is not planned, so nothing is prepared for it.
            return self._fetch_unprepared(batch)
        # One batch at a time: two need twice the memory and are not ready sooner.
        with self._load_lock:
            prepared = self._chunks.take(batch.chunk)
            missing = [frame for frame in batch.frames if frame.number not in prepared.cached]
            if missing and prepared.chunk is None:
                return self._fetch_unprepared(batch)
            by_number = dict(prepared.cached)
            by_number |= {
                loaded.frame.number: loaded for loaded in self._loader.load(prepared.chunk, missing)
            }
            frames = [by_number[frame.number] for frame in batch.frames]
            self._finish(batch, frames)
            return frames

    def fetch_image(self, frame: Frame) -> LoadedFrame:
        """Return the frame with its image or a failure. Ignores the cache."""
        (loaded,) = self._uncached_loader.load(None, [frame])
        return loaded

    def is_cached(self, batch: Batch) -> bool:
        """Return whether all detections of a batch are known to be cached.

        Downloads nothing, so it can return False for a batch that turns out to be cached.
        """
        prepared = self._chunks.peek(batch.chunk)
        if prepared is not None:
            return all(frame.number in prepared.cached for frame in batch.frames)
        hashes = self._known_hashes(batch.chunk)
        # Look up the first frame before the others: usually all frames are cached or none.
        return all(
            len(self._loader.find_cached(frames, hashes)) == len(frames)
            for frames in (batch.frames[:1], batch.frames)
        )

    def close(self) -> None:
        """Stop the downloads and free memory and disk space."""
        self._stop.set()
        self._chunks.close()
        self._loader.close()
        self._uncached_loader.close()

    def _fetch_unprepared(self, batch: Batch) -> list[LoadedFrame]:
        """Load a batch without using the prefetched chunks."""
        by_number = self._loader.find_cached(batch.frames, self._known_hashes(batch.chunk))
        missing = [frame for frame in batch.frames if frame.number not in by_number]
        chunk = None
        if len(missing) > MAX_SINGLE_DOWNLOADS:
            chunk = download_chunk(
                self._client, self._media, batch.chunk, wait=interruptible(self._stop)
            )
        try:
            by_number |= {
                loaded.frame.number: loaded for loaded in self._loader.load(chunk, missing)
            }
        finally:
            if chunk is not None:
                chunk.close()
        return [by_number[frame.number] for frame in batch.frames]

    def _prepare(self, number: int, wait: Wait) -> _PreparedChunk:
        """Look up a chunk's planned frames in the cache. Download it unless all are cached."""
        with self._lock:
            batches = list(self._pending.get(number, {}).values())
        frames = [frame for batch in batches for frame in batch.frames]
        cached = self._loader.find_cached(frames, self._known_hashes(number))
        if frames and len(cached) == len(frames):
            return _PreparedChunk(cached=cached)
        chunk = download_chunk(self._client, self._media, number, wait=wait)
        if chunk.updated not in (None, self._media.chunks_updated_date):
            # The images changed during this run. So the known hashes may be wrong, and new ones
            # must not be stored under the old date.
            self._content = None
            cached = {}
        return _PreparedChunk(cached=cached, chunk=chunk)

    def _known_hashes(self, chunk: int) -> Mapping[int, str]:
        content = self._content  # another thread can set it to None at any time
        return {} if content is None else content.read(chunk)

    def _finish(self, batch: Batch, frames: Iterable[LoadedFrame]) -> None:
        """Store the hashes. Drop the chunk after its last batch."""
        hashes = {
            loaded.frame.number: loaded.outcome.content_hash
            for loaded in frames
            if loaded.outcome.content_hash is not None
        }
        with self._lock:
            pending = self._pending.get(batch.chunk, {})
            pending.pop(batch.index, None)
            self._hashes.setdefault(batch.chunk, {}).update(hashes)
            if pending:
                return
            hashes = self._hashes.pop(batch.chunk)
            self._pending.pop(batch.chunk, None)
            content = self._content
        self._chunks.drop(batch.chunk)
        if content is not None:
            content.add(batch.chunk, hashes)
