"""Cache what a function detected on an image.

The key is all that the function is handed: the image's content, the context (`detect.context`),
what is on the frame already if the function needs that, and the function's fingerprint. The name of
the frame is part of the context. It does not count for a function that declares that its results
depend on the image only.

Not part of the key: the task, the frame number, batch sizes, the label mapping and thresholds that
apply afterwards. So these can change without running the function again. An entry that is lost or
damaged is detected again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

from attrs import asdict

from cvat_flows.tasks.check.read_output import detections_from_json, detections_to_json
from cvat_flows.tasks.detect.context import CallOptions, facts_of_frame
from cvat_flows.tasks.detect.present import PresentAnnotations
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.storage import Storage, StorageError

FORMAT = 3
"""Part of every key. Raise it when the meaning of an entry changes."""
DETECTIONS = "detections"
"""Folder of the cache in the storage."""
ABOUT = "about.json"
"""File in the folder of each function that says which function it is."""


class DetectionCache:
    """Detections of one function that is called with one set of options.

    Storage that fails never fails a run: reading finds nothing, and writing does nothing.
    Thread-safe.

    Args:
        storage: Where the entries are kept.
        fingerprint: Identifies the function: source, parameters, weights and libraries.
        options: What the function is told on each call.
        image_only: The function's results do not depend on the other facts of a frame.
        title: Name of the function for people.
        present: What is on the frames, if the function needs that.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        fingerprint: str,
        options: CallOptions,
        image_only: bool = False,
        title: str = "",
        present: PresentAnnotations | None = None,
    ) -> None:
        self._storage = storage
        self._image_only = image_only
        self._present = present
        about = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "parameters": asdict(options),
            "image_only": image_only,
        }
        self._folder = f"{DETECTIONS}/{digest_of(about)[:24]}"
        self._about = json.dumps(about | {"title": title}, sort_keys=True)
        self._has_about = False

    def find(self, images: Iterable[tuple[Frame, str]]) -> dict[int, tuple[Detection, ...]]:
        """Return what is known of some frames, by frame number.

        `images` are the frames with the hashes of their images' content.
        """
        keys = {frame.number: self._key(frame, content_hash) for frame, content_hash in images}
        known = self._read(set(keys.values()))
        return {number: known[key] for number, key in keys.items() if key in known}

    def put_many(self, outcomes: Iterable[Outcome]) -> None:
        """Store what was detected on several frames.

        Detections with values that JSON cannot hold are left out. Where a name is cheaper than a
        file, several images share a file under several names.
        """
        entries = {}
        for outcome in outcomes:
            if outcome.content_hash is None or outcome.detections is None:
                continue
            key = self._key(outcome.frame, outcome.content_hash)
            with suppress(TypeError, ValueError):
                content = json.dumps(detections_to_json(outcome.detections), separators=(",", ":"))
                entries[key] = f'"{key}":{content}'
        packs = [
            ([self._path(key) for key in pack], _to_json(pack.values()))
            for pack in _packs(entries, self._storage.pack_size)
        ]
        with suppress(OSError, StorageError):
            if packs and not self._has_about:
                self._storage.write(f"{self._folder}/{ABOUT}", self._about.encode(), durable=False)
                self._has_about = True
            self._storage.write_many(packs)

    def _key(self, frame: Frame, content_hash: str) -> str:
        """Return the name of an entry: 64 hexadecimal digits."""
        facts = None if self._image_only else facts_of_frame(frame)
        if self._present is not None:
            return digest_of([content_hash, facts, self._present.digest(frame)])
        return content_hash if facts is None else digest_of([content_hash, facts])

    def _read(self, keys: Iterable[str]) -> dict[str, tuple[Detection, ...]]:
        paths = {key: self._path(key) for key in keys}
        contents: dict[str, bytes] = {}
        with suppress(OSError, StorageError):
            contents = self._storage.read_many(list(paths.values()))
        packs: dict[bytes, Any] = {}
        found = {}
        for key, path in paths.items():
            # A damaged entry can raise anything. It counts as unknown.
            with suppress(Exception):
                content = contents[path]
                if content not in packs:
                    packs[content] = json.loads(content)
                found[key] = detections_from_json(packs[content][key])
        return found

    def _path(self, key: str) -> str:
        return f"{self._folder}/{key[0]}/{key}.json"


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a value as JSON, in hexadecimal."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _packs(entries: Mapping[str, str], size: int) -> list[dict[str, str]]:
    """Group entries into packs of at most `size` characters. A longer entry is a pack by itself."""
    packs: list[dict[str, str]] = []
    room = 0
    for key, entry in entries.items():
        if len(entry) > room:
            packs.append({})
            room = size
        packs[-1][key] = entry
        room -= len(entry)
    return packs


def _to_json(entries: Iterable[str]) -> bytes:
    return f"{{{','.join(entries)}}}".encode()
