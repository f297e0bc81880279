"""Remember which images are with the function, in case it ends the process.

A segmentation fault or `os._exit` on one image would otherwise end every run at the same place. A
run writes a small note before each batch and deletes it at the end. So a note that is found when a
run starts tells which frames an earlier process did not survive. The function gets these frames one
by one and last. If the process ends while it has such a frame alone, it does not get it again.

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
ENDED_TWICE = (
    "the function ended the process on this frame twice: correct the function, or try the frame "
    "again with --fresh"
)


class CallNotes:
    """Notes of one function in one CVAT task. Thread-safe. Storage that fails never fails a run.

    Args:
        storage: Where the notes are.
        media: The CVAT task.
        function: Fingerprint of the function, or its name if it has none.
        forgive: Call frames again that ended the process twice.
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
        suspects, ended = (set[int](), set[int]()) if trusting else self._read()
        if forgive:
            suspects, ended = suspects | ended, set()
        self.suspects = frozenset(suspects - ended)
        """Frames that were with the function when an earlier process ended."""
        self.ended_twice = frozenset(ended)
        """Frames that are not called any more."""

    def is_suspect(self, frames: Collection[int]) -> bool:
        """Return whether these frames are one suspect, which is called alone."""
        return len(frames) == 1 and not self.suspects.isdisjoint(frames)

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
        """Note that the function gets nothing but this suspect in the block."""
        with self._lock:
            self._write(alone=frame)
        try:
            yield
        finally:
            with self._lock:
                self._write()

    def resolve(self, processed: Iterable[int]) -> None:
        """Forget the suspects among the frames that this run has processed."""
        left = self.suspects.difference(processed)
        with self._lock, suppress(OSError, StorageError):
            if not self._earlier:
                return
            if left or self.ended_twice:
                summary = f"{self._folder}/{os.getpid()}-{secrets.token_hex(6)}.json"
                self._put(summary, sorted(left), ended_twice=sorted(self.ended_twice))
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

    def _read(self) -> tuple[set[int], set[int]]:
        suspects: set[int] = set()
        ended: set[int] = set()
        with suppress(OSError, StorageError):
            self._earlier = [stored.path for stored in self._storage.list(self._folder)]
        for path in self._earlier:
            with suppress(OSError, StorageError, ValueError, TypeError, KeyError):
                note = json.loads(self._storage.read(path) or b"{}")
                suspects.update(map(int, note["with_function"]))
                ended.update(map(int, note["ended_twice"]))
                if note["alone"] is not None:
                    ended.add(int(note["alone"]))
        return suspects, ended

    def _write(self, alone: int | None = None) -> None:
        if self._is_closed:
            return
        with suppress(OSError, StorageError):
            self._put(self._path, self._with_function, alone=alone)
            self._is_written = True

    def _put(self, path: str, frames: Collection[int], **facts: Any) -> None:
        note = {"with_function": list(frames), "alone": None, "ended_twice": [], **facts}
        self._storage.write(path, json.dumps(note).encode(), durable=False)
