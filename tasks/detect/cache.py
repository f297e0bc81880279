"""Cache what a function detected on an image.

The key is the image's content, the function's fingerprint and the parameters that reach the
function. Not part of the key: the task, the frame number, batch sizes, the label mapping and
thresholds that apply afterwards. So these can change without running the function again. An entry
that is lost or damaged is detected again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

from cvat_flows.tasks.check.read_output import detections_from_json, detections_to_json
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.storage import Storage, StorageError

FORMAT = 2
"""Part of every key. Raise it when the meaning of an entry changes."""
DETECTIONS = "detections"
"""Folder of the cache in the storage."""
ABOUT = "about.json"
"""File in the folder of each function that says which function it is."""


class DetectionCache:
    """Detections of one function with one set of parameters, by the image's content hash.

    Storage that fails never fails a run: reading finds nothing, and writing does nothing.
    Thread-safe.

    Args:
        storage: Where the entries are kept.
        fingerprint: Identifies the function: source, parameters, weights and libraries.
        parameters: Of the call: `conf_threshold` and `conv_mask_to_poly`.
        title: Name of the function for people.
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
        self._folder = f"{DETECTIONS}/{digest_of(about)[:24]}"
        self._about = json.dumps(about | {"title": title}, sort_keys=True)
        self._has_about = False

    def get(self, content_hash: str) -> tuple[Detection, ...] | None:
        """Return what was detected on an image with this content, or None if that is unknown."""
        return self.get_many([content_hash]).get(content_hash)

    def get_many(self, hashes: Iterable[str]) -> dict[str, tuple[Detection, ...]]:
        """Return those of the content hashes that are known, with their detections."""
        paths = {content_hash: self._path(content_hash) for content_hash in hashes}
        contents: dict[str, bytes] = {}
        with suppress(OSError, StorageError):
            contents = self._storage.read_many(list(paths.values()))
        packs: dict[bytes, Any] = {}
        found = {}
        for content_hash, path in paths.items():
            # A damaged entry can raise anything. It counts as unknown.
            with suppress(Exception):
                content = contents[path]
                if content not in packs:
                    packs[content] = json.loads(content)
                found[content_hash] = detections_from_json(packs[content][content_hash])
        return found

    def put_many(self, detected: Mapping[str, tuple[Detection, ...]]) -> None:
        """Store what was detected on several images.

        Detections with values that JSON cannot hold are left out. Where a name is cheaper than a
        file, several images share a file under several names.
        """
        entries = {}
        for content_hash, detections in detected.items():
            with suppress(TypeError, ValueError):
                content = json.dumps(detections_to_json(detections), separators=(",", ":"))
                entries[content_hash] = f'"{content_hash}":{content}'
        packs = [
            ([self._path(content_hash) for content_hash in pack], _to_json(pack.values()))
            for pack in _packs(entries, self._storage.pack_size)
        ]
        with suppress(OSError, StorageError):
            if packs and not self._has_about:
                self._storage.write(f"{self._folder}/{ABOUT}", self._about.encode(), durable=False)
                self._has_about = True
            self._storage.write_many(packs)

    def _path(self, content_hash: str) -> str:
        return f"{self._folder}/{content_hash[0]}/{content_hash}.json"


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value as JSON, in hexadecimal."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _packs(entries: Mapping[str, str], size: int) -> list[dict[str, str]]:
    """Group entries into packs of at most `size` characters. A longer entry is a pack by itself."""
    packs: list[dict[str, str]] = []
    room = 0
    for content_hash, entry in entries.items():
        if len(entry) > room:
            packs.append({})
            room = size
        packs[-1][content_hash] = entry
        room -= len(entry)
    return packs


def _to_json(entries: Iterable[str]) -> bytes:
    return f"{{{','.join(entries)}}}".encode()
