"""Remember what a function detected on an image, and which image each frame of a task held.

The key of detections is the image's content, the function's fingerprint and the parameters that
reach the function. Not in the key, and so free to change: the task, the frame's number, batch
sizes, label mapping and thresholds that apply afterwards. Entries are JSON; what is lost or damaged
is detected again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from cvat_flows.tasks.check.read_output import detections_from_json, detections_to_json
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.storage import FolderStorage, Storage, StorageError

FORMAT = 2
"""Part of every key: raise it when the meaning of an entry changes."""
DETECTIONS = "detections"
CONTENT = "content"
REMOTE_THREADS = 16
"""Storage across a network answers in tens of milliseconds, to many at once."""
PACK_BYTES = 1 << 16
"""Of a file that holds the detections of several images. All of it is read for each of them."""
ABOUT = "about.json"
"""In the folder of each function: which one it is."""

A = TypeVar("A")
B = TypeVar("B")


class DetectionCache:
    """Detections of one function with one set of parameters, by the image's content hash.

    `fingerprint` says which function it is (source, parameters, weights, libraries); `parameters`
    are those of the call: `conf_threshold`, `conv_mask_to_poly`. A failing storage never fails a
    run: reading gives nothing, writing does nothing. Safe to use from several threads.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        fingerprint: str,
        parameters: Mapping[str, Any],
        title: str = "",
    ) -> None:
        self._storage = storage
        about = {"format": FORMAT, "fingerprint": fingerprint, "parameters": dict(parameters)}
        self._folder = f"{DETECTIONS}/{_digest(about)[:24]}"
        self._about = json.dumps(about | {"title": title}, sort_keys=True)
        self._introduced = False

    def get(self, content_hash: str) -> tuple[Detection, ...] | None:
        """Return what was detected on an image with this content, or None if that is unknown."""
        return self.get_many([content_hash]).get(content_hash)

    def put(self, content_hash: str, detections: tuple[Detection, ...]) -> None:
        """Keep what was detected, unless it holds values that JSON has no exact form for."""
        self.put_many({content_hash: detections})

    def get_many(self, hashes: Iterable[str]) -> dict[str, tuple[Detection, ...]]:
        """Return the known ones among these hashes with their detections."""
        wanted = list(dict.fromkeys(hashes))
        packs: dict[bytes, Any] = {}
        found = {}
        for content_hash, content in zip(
            wanted, _each(self._storage, self._read, wanted), strict=True
        ):
            # Whatever a damaged entry raises, the answer is the same.
            with suppress(Exception):
                if content not in packs:
                    packs[content] = json.loads(content)
                found[content_hash] = detections_from_json(packs[content][content_hash])
        return found

    def put_many(self, detected: Mapping[str, tuple[Detection, ...]]) -> None:
        """Keep what was detected on several images.

        A folder keeps several images in one file, under as many names: to make a file takes a
        file system longer than to name one, and a block of the disk.
        """
        entries = {}
        for content_hash, detections in detected.items():
            with suppress(TypeError, ValueError):
                content = json.dumps(detections_to_json(detections), separators=(",", ":"))
                entries[content_hash] = f'"{content_hash}":{content}'
        if entries and not self._introduced:
            self._introduced = True
            with suppress(OSError, StorageError):
                self._storage.write(f"{self._folder}/{ABOUT}", self._about.encode(), durable=False)
        packed = isinstance(self._storage, FolderStorage)
        _each(self._storage, self._write, _packs(entries, PACK_BYTES if packed else 0))

    def _read(self, content_hash: str) -> bytes:
        with suppress(OSError, StorageError):
            return self._storage.read(self._path(content_hash)) or b""
        return b""

    def _write(self, pack: Mapping[str, str]) -> None:
        with suppress(OSError, StorageError):
            if len(pack) > 1 and isinstance(self._storage, FolderStorage):
                paths = [self._path(content_hash) for content_hash in pack]
                if self._storage.write_linked(paths, _json_of(pack.values())):
                    return
            for content_hash, entry in pack.items():
                self._storage.write(self._path(content_hash), _json_of([entry]), durable=False)

    def _path(self, content_hash: str) -> str:
        return f"{self._folder}/{content_hash[0]}/{content_hash}.json"


class ContentIndex:
    """Content hashes of a task's frames, a file a chunk, for as long as CVAT keeps the chunks.

    With it a second run over an unchanged task knows every image without downloading one.
    """

    def __init__(self, storage: Storage, media: TaskMedia) -> None:
        self._storage = storage
        where = _digest([FORMAT, media.host])[:16]
        what = _digest([media.data_id, media.chunks_updated_date, media.chunk_size])[:16]
        self._folder = f"{CONTENT}/{where}/{media.task_id}/{what}"

    def read(self, chunk: int) -> dict[int, str]:
        """Return the hashes that are known of a chunk's frames, by frame number."""
        try:
            content = self._storage.read(f"{self._folder}/{chunk}.json")
            known = json.loads(content) if content is not None else {}
            return {int(number): str(content_hash) for number, content_hash in known.items()}
        except (OSError, StorageError, ValueError, AttributeError):
            return {}

    def add(self, chunk: int, hashes: Mapping[int, str]) -> None:
        """Note hashes of a chunk's frames beside those that are known."""
        known = self.read(chunk)
        all_known = {**known, **hashes}
        if all_known == known:
            return
        content = json.dumps(all_known, separators=(",", ":")).encode()
        try:
            self._storage.write(f"{self._folder}/{chunk}.json", content, durable=False)
        except (OSError, StorageError):
            return


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def _packs(entries: Mapping[str, str], size: int) -> list[dict[str, str]]:
    """Entries in groups of at most `size` characters, or single ones where those are longer."""
    packs: list[dict[str, str]] = []
    room = 0
    for content_hash, entry in entries.items():
        if len(entry) > room:
            packs.append({})
            room = size
        packs[-1][content_hash] = entry
        room -= len(entry)
    return packs


def _json_of(entries: Iterable[str]) -> bytes:
    return f"{{{','.join(entries)}}}".encode()


def _each(storage: Storage, call: Callable[[A], B], arguments: list[A]) -> list[B]:
    """Call for each argument; at the same time where the storage is not a local folder."""
    if isinstance(storage, FolderStorage) or len(arguments) < 2:
        return [call(argument) for argument in arguments]
    with ThreadPoolExecutor(min(REMOTE_THREADS, len(arguments))) as pool:
        return list(pool.map(call, arguments))
