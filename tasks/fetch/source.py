"""Get the images of a batch: from the detection cache if they are known, else from CVAT.

A `FrameSource` works ahead of its consumer: it downloads the next chunks while the model is busy,
and holds no more than a fixed number of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol

from attrs import field, frozen
from cvat_sdk import Client

from aa_functions.processors import cpu_cores
from cvat_flows.tasks.cvat.http import Wait, interruptible
from cvat_flows.tasks.fetch.chunks import Chunk, download_chunk
from cvat_flows.tasks.fetch.images import LoadedFrame
from cvat_flows.tasks.fetch.loader import FrameLoader, KnownDetections
from cvat_flows.tasks.fetch.prefetch import ChunkPrefetcher
from cvat_flows.tasks.model.frames import Batch, Frame
from cvat_flows.tasks.model.media import TaskMedia

FEW_FRAMES = 2
"""Up to so many frames are fetched one by one if their chunk is not at hand."""


class KnownContent(Protocol):
    """Content hashes of the task's frames as an earlier run saw them."""

    def read(self, chunk: int) -> Mapping[int, str]: ...
    def add(self, chunk: int, hashes: Mapping[int, str]) -> None: ...


@frozen(kw_only=True, eq=False)
class _Prepared:
    """A chunk when its turn has come: frames with cached detections, images of the others."""

    cached: Mapping[int, LoadedFrame] = field(factory=dict)
    chunk: Chunk | None = None
    """None if all planned frames are cached."""

    def close(self) -> None:
        if self.chunk is not None:
            self.chunk.close()


class FrameSource:
    """The images of a plan's batches.

    `batches` says what will be asked for, in order; any other batch can be asked for as well.
    With `cache` and `content`, frames with known detections come back without an image, and a
    chunk all of whose frames are known is not downloaded. `chunks_ahead` bounds what is held beyond
    what the consumer has taken. `decode_threads`: by default one more than there are processors, at
    most 16. Use it as a context manager.
    """

    def __init__(
        self,
        client: Client,
        media: TaskMedia,
        batches: Sequence[Batch] = (),
        *,
        cache: KnownDetections | None = None,
        content: KnownContent | None = None,
        chunks_ahead: int = 2,
        download_threads: int = 2,
        decode_threads: int | None = None,
    ) -> None:
        self._client = client
        self._media = media
        self._content = content if cache is not None else None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._waiting: dict[int, dict[int, Batch]] = {}
        for batch in batches:
            self._waiting.setdefault(batch.chunk, {})[batch.index] = batch
        self._hashes: dict[int, dict[int, str]] = {}
        self._loader = FrameLoader(
            client,
            media,
            cache,
            stop=self._stop,
            threads=decode_threads or min(cpu_cores() + 1, 16),
        )
        self._uncached = FrameLoader(client, media, None, stop=self._stop, threads=1)
        self._chunks = ChunkPrefetcher(
            self._prepare, list(self._waiting), ahead=chunks_ahead, threads=download_threads
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

        Raises CvatUnavailable if CVAT cannot be reached (worth another attempt), CvatRefused if
        it refuses. May be called from several threads, and again for the same batch.
        """
        with self._lock:
            planned = self._waiting.get(batch.chunk, {}).get(batch.index)
        if planned != batch:
            # It was had before, or is no part of the plan: nothing was kept for it.
            return self._load_unplanned(batch)
        # One after the other: two at once take twice the memory and are ready no sooner.
        with self._loading:
            prepared = self._chunks.take(batch.chunk)
            missing = [frame for frame in batch.frames if frame.number not in prepared.cached]
            if missing and prepared.chunk is None:
                return self._load_unplanned(batch)
            loaded = dict(prepared.cached)
            loaded |= {
                found.frame.number: found for found in self._loader.images(prepared.chunk, missing)
            }
            found = [loaded[frame.number] for frame in batch.frames]
            self._finished(batch, found)
            return found

    def fetch_image(self, frame: Frame) -> LoadedFrame:
        """Return the frame with its image (or a failure), whatever the cache knows of it."""
        (loaded,) = self._uncached.images(None, [frame])
        return loaded

    def knows(self, batch: Batch) -> bool:
        """Whether the cache holds every frame's detections, as far as is known without images."""
        prepared = self._chunks.peek(batch.chunk)
        if prepared is not None:
            return all(frame.number in prepared.cached for frame in batch.frames)
        hashes = self._known_hashes(batch.chunk)
        # The first frame alone, first: mostly all of them are known or none is.
        return all(
            len(self._loader.cached(frames, hashes)) == len(frames)
            for frames in (batch.frames[:1], batch.frames)
        )

    def close(self) -> None:
        """Stop working ahead and give memory and disk back."""
        self._stop.set()
        self._chunks.close()
        self._loader.close()
        self._uncached.close()

    def _load_unplanned(self, batch: Batch) -> list[LoadedFrame]:
        """Load a batch that nothing was prepared for, without touching what was."""
        loaded = self._loader.cached(batch.frames, self._known_hashes(batch.chunk))
        missing = [frame for frame in batch.frames if frame.number not in loaded]
        chunk = None
        if len(missing) > FEW_FRAMES:
            chunk = download_chunk(
                self._client, self._media, batch.chunk, wait=interruptible(self._stop)
            )
        try:
            loaded |= {found.frame.number: found for found in self._loader.images(chunk, missing)}
        finally:
            if chunk is not None:
                chunk.close()
        return [loaded[frame.number] for frame in batch.frames]

    def _prepare(self, number: int, wait: Wait) -> _Prepared:
        """Look up a chunk's planned frames in the cache; download it unless all are there."""
        with self._lock:
            batches = list(self._waiting.get(number, {}).values())
        frames = [frame for batch in batches for frame in batch.frames]
        cached = self._loader.cached(frames, self._known_hashes(number))
        if frames and len(cached) == len(frames):
            return _Prepared(cached=cached)
        chunk = download_chunk(self._client, self._media, number, wait=wait)
        if chunk.updated not in (None, self._media.chunks_updated_date):
            # The images were changed while this run was going on: what is known of their content
            # must neither be used nor noted.
            self._content = None
            cached = {}
        return _Prepared(cached=cached, chunk=chunk)

    def _known_hashes(self, chunk: int) -> Mapping[int, str]:
        content = self._content  # another thread may let go of it at any time
        return {} if content is None else content.read(chunk)

    def _finished(self, batch: Batch, loaded: Iterable[LoadedFrame]) -> None:
        """Note the hashes; let go of the chunk if this was the last batch to need it."""
        hashes = {
            found.frame.number: found.outcome.content_hash
            for found in loaded
            if found.outcome.content_hash is not None
        }
        with self._lock:
            waiting = self._waiting.get(batch.chunk, {})
            waiting.pop(batch.index, None)
            self._hashes.setdefault(batch.chunk, {}).update(hashes)
            if waiting:
                return
            hashes = self._hashes.pop(batch.chunk)
            self._waiting.pop(batch.chunk, None)
            content = self._content
        self._chunks.drop(batch.chunk)
        if content is not None:
            content.add(batch.chunk, hashes)
