"""Remember which images are with the function, in case it ends the process.

A segmentation fault or `os._exit` on one image would otherwise end every run at the same place. A
run writes a small note before each batch and deletes it at the end. So a note that is found when a
run starts tells which frames an earlier process did not survive. Mostly somebody killed it, or the
machine went down. So the function gets these frames once more in batches, after all others, and
only if the process ends again, one by one. If it ends while it has such a frame alone, the function
does not get the frame again.

Each process has a note of its own, in the storage that all workers share. Writing is not durable:
the death of a process loses nothing, and a power failure says nothing about the function.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from cvat_flows.tasks.detect.cache import digest_of
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.storage import Storage, StorageError

CALLS = "calls"
"""Folder of the notes in the storage."""
DEADLY = (
    "the function ended the process three times when it had this frame, at last alone: correct the "
    "function, or try the frame again with --fresh"
)


class CallNotes:
    """Notes of one function in one CVAT task. Thread-safe. Storage that fails never fails a run.

    Args:
        storage: Where the notes are.
        media: The CVAT task.
        function: Fingerprint of the function, or its name if it has none.
        forgive: Call deadly frames again.
        trusting: Call all frames like others, whatever earlier notes say.
    """

    def __init__(
        self,
        storage: Storage,
        media: TaskMedia,
        function: str,
        *,
        forgive: bool = False,
        trusting: bool = False,
    ) -> None:
        self._storage = storage
        self._folder = f"{CALLS}/{media.identity.folder}/{digest_of(function)[:24]}"
        self._path = f"{self._folder}/{os.getpid()}-{secrets.token_hex(6)}.json"
        self._lock = threading.Lock()
        self._with_function: list[int] = []
        self._is_written = self._is_closed = False
        self._earlier: list[str] = []
        once, twice, deadly = (set[int](), set[int](), set[int]()) if trusting else self._read()
        if forgive:
            twice, deadly = twice | deadly, set()
        self.once = frozenset(once - twice - deadly)
        """Frames that were with the function when an earlier process ended. They come last."""
        self.twice = frozenset(twice - deadly)
        """Frames with which that happened again. They are called one by one."""
        self.deadly = frozenset(deadly)
        """Frames that are not called any more: the process ended when the function had nothing
        else."""

    def is_alone(self, frames: Collection[int]) -> bool:
        """Return whether these frames are one that is called alone."""
        return len(frames) == 1 and not self.twice.isdisjoint(frames)

    @contextmanager
    def calling(self, frames: Collection[int]) -> Iterator[None]:
        """Note that the function gets these frames in the block, perhaps among others."""
        if not frames:
            yield
            return
        with self._lock:
            self._with_function += frames
            self._write()
        try:
            yield
        finally:
            with self._lock:
                for number in frames:
                    self._with_function.remove(number)
                if self._with_function:  # else the next batch or `close` writes
                    self._write()

    @contextmanager
    def calling_alone(self, frame: int) -> Iterator[None]:
        """Note that the function gets nothing but this frame in the block."""
        with self._lock:
            self._write(alone=frame)
        try:
            yield
        finally:
            with self._lock:
                self._write()

    def resolve(self, processed: Iterable[int]) -> None:
        """Forget what earlier notes say of the frames that this run has processed."""
        done = set(processed)
        once, twice = self.once - done, self.twice - done
        with self._lock, suppress(OSError, StorageError):
            if not self._earlier:
                return
            if once or twice or self.deadly:
                summary = f"{self._folder}/{os.getpid()}-{secrets.token_hex(6)}.json"
                self._put(
                    summary, sorted(once | twice), again=sorted(twice), deadly=sorted(self.deadly)
                )
            for path in self._earlier:
                self._storage.delete(path)
            self._earlier = []

    def clear(self) -> None:
        """Delete this process's note: the function has nothing now."""
        with self._lock, suppress(OSError, StorageError):
            if self._is_written:
                self._is_written = False
                self._storage.delete(self._path)

    def close(self) -> None:
        """Delete this process's note and write no other: the process has survived."""
        self._is_closed = True
        self.clear()

    def _read(self) -> tuple[set[int], set[int], set[int]]:
        once: set[int] = set()
        twice: set[int] = set()
        deadly: set[int] = set()
        with suppress(OSError, StorageError):
            self._earlier = [stored.path for stored in self._storage.list(self._folder)]
        for path in self._earlier:
            with suppress(OSError, StorageError, ValueError, TypeError, KeyError):
                note = json.loads(self._storage.read(path) or b"{}")
                once.update(map(int, note["with_function"]))
                twice.update(map(int, note["again"]))
                deadly.update(map(int, note["deadly"]))
                if note["alone"] is not None:
                    deadly.add(int(note["alone"]))
        return once, twice, deadly

    def _write(self, alone: int | None = None) -> None:
        if self._is_closed:
            return
        with suppress(OSError, StorageError):
            again = sorted((self.once | self.twice).intersection(self._with_function))
            self._put(self._path, self._with_function, again=again, alone=alone)
            self._is_written = True

    def _put(self, path: str, frames: Collection[int], **facts: Any) -> None:
        note = {"with_function": list(frames), "again": [], "alone": None, "deadly": [], **facts}
        self._storage.write(path, json.dumps(note).encode(), durable=False)
