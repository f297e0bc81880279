"""Download chunks before they are needed, a limited number at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from cvat_flows.tasks.cvat.client.retry import Wait, interruptible


class Closeable(Protocol):
    def close(self) -> None: ...


Content = TypeVar("Content", bound=Closeable)


class ChunkPrefetcher(Generic[Content]):
    """Downloads chunks in a given order and keeps each until it is dropped.

    A chunk that is not in the order, or was dropped, is downloaded when it is taken. Thread-safe.

    Args:
        download: `download(number, wait)` returns a chunk's content. It runs in a thread.
        order: Chunk numbers in the order of use.
        ahead: How many chunks to download before they are taken.
        threads: How many downloads run in parallel.
    """

    def __init__(
        self,
        download: Callable[[int, Wait], Content],
        order: Sequence[int],
        *,
        ahead: int,
        threads: int,
    ) -> None:
        self._download = download
        self._upcoming = list(reversed(order))
        self._ahead = ahead
        self._lock = threading.Lock()
        self._held: dict[int, Future[Content]] = {}
        self._in_use: set[int] = set()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="chunk")

    def start(self) -> None:
        """Begin to download the first chunks."""
        with self._lock:
            self._schedule()

    def take(self, number: int) -> Content:
        """Wait for a chunk and return it.

        Raises what its download raised. Then taking it again downloads it again.
        """
        with self._lock:
            future = self._held.get(number)
            if future is None:
                future = self._submit(number)
            self._in_use.add(number)
            self._remove_upcoming(number)
            self._schedule()
        try:
            return future.result()
        except BaseException:
            with self._lock:
                if self._held.get(number) is future:
                    del self._held[number]
                self._in_use.discard(number)
            raise

    def peek(self, number: int) -> Content | None:
        """Return the chunk if its download is complete, otherwise None."""
        with self._lock:
            future = self._held.get(number)
        if future is None or not future.done() or future.cancelled() or future.exception():
            return None
        return future.result()

    def drop(self, number: int) -> None:
        """Free a chunk's memory and begin to download the next one."""
        with self._lock:
            future = self._held.pop(number, None)
            self._in_use.discard(number)
            self._remove_upcoming(number)
            self._schedule()
        if future is not None and not future.cancel():
            future.add_done_callback(_close)

    @property
    def held(self) -> tuple[int, ...]:
        """Chunks that are downloaded or being downloaded."""
        with self._lock:
            return tuple(self._held)

    def close(self) -> None:
        """Cancel the downloads and free all chunks."""
        self._stop.set()
        with self._lock:
            self._upcoming.clear()
            futures, self._held = list(self._held.values()), {}
        for future in futures:
            if not future.cancel():
                future.add_done_callback(_close)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _schedule(self) -> None:
        if self._stop.is_set():
            return
        while self._upcoming and len(self._held.keys() - self._in_use) < self._ahead:
            number = self._upcoming.pop()
            if number not in self._held:
                self._submit(number)

    def _remove_upcoming(self, number: int) -> None:
        with suppress(ValueError):
            self._upcoming.remove(number)

    def _submit(self, number: int) -> Future[Content]:
        future = self._pool.submit(self._download, number, interruptible(self._stop))
        self._held[number] = future
        return future


def _close(future: Future[Any]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
