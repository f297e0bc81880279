"""Get what is needed of chunks ahead of its use, a bounded number of them at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from cvat_flows.tasks.cvat.http import Wait, interruptible


class Closeable(Protocol):
    def close(self) -> None: ...


Held = TypeVar("Held", bound=Closeable)


class ChunkPrefetcher(Generic[Held]):
    """What is needed of each chunk, in the order of use, `ahead` of them got before they are asked.

    `download(number, wait)` runs in a thread of the prefetcher. A chunk is kept until it is
    dropped. Asking for a chunk out of order, or once more, is allowed and downloads it.
    """

    def __init__(
        self,
        download: Callable[[int, Wait], Held],
        order: Sequence[int],
        *,
        ahead: int = 2,
        threads: int = 2,
    ) -> None:
        self._download = download
        self._upcoming = list(reversed(order))
        self._ahead = ahead
        self._lock = threading.Lock()
        self._held: dict[int, Future[Held]] = {}
        self._in_use: set[int] = set()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="chunk")

    def start(self) -> None:
        """Begin to download the first chunks."""
        with self._lock:
            self._schedule()

    def take(self, number: int) -> Held:
        """Wait for a chunk. Raises what its download raised; taking it again tries again."""
        with self._lock:
            future = self._held.get(number)
            if future is None:
                future = self._submit(number)
            self._in_use.add(number)
            self._forget(number)
            self._schedule()
        try:
            return future.result()
        except BaseException:
            with self._lock:
                if self._held.get(number) is future:
                    del self._held[number]
                self._in_use.discard(number)
            raise

    def peek(self, number: int) -> Held | None:
        """The chunk if it is here; None if it is under way, or was not got."""
        with self._lock:
            future = self._held.get(number)
        if future is None or not future.done() or future.cancelled() or future.exception():
            return None
        return future.result()

    def drop(self, number: int) -> None:
        """Give a chunk's memory back and let the next one come."""
        with self._lock:
            future = self._held.pop(number, None)
            self._in_use.discard(number)
            self._forget(number)
            self._schedule()
        if future is not None and not future.cancel():
            future.add_done_callback(_close)

    @property
    def held(self) -> tuple[int, ...]:
        """Chunks that are here or under way."""
        with self._lock:
            return tuple(self._held)

    def close(self) -> None:
        """Break off what is under way and give everything back."""
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

    def _forget(self, number: int) -> None:
        with suppress(ValueError):
            self._upcoming.remove(number)

    def _submit(self, number: int) -> Future[Held]:
        future = self._pool.submit(self._download, number, interruptible(self._stop))
        self._held[number] = future
        return future


def _close(future: Future[Any]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
