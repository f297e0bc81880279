"""Remember which image each frame of a task holds.

With this index, a second run over an unchanged task finds its detections in the cache without
downloading an image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cvat_flows.tasks.detect.cache import FORMAT, digest_of
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.storage import Storage, StorageError

CONTENT = "content"
"""Folder of the index in the storage."""


class ContentIndex:
    """Content hashes of a task's frames, in one file for each chunk.

    The hashes are valid as long as CVAT does not change the task's chunks: the date of their last
    change is part of the path. Storage that fails never fails a run.
    """

    def __init__(self, storage: Storage, media: TaskMedia) -> None:
        self._storage = storage
        state = [FORMAT, media.data_id, media.chunks_updated_date, media.chunk_size]
        self._folder = f"{CONTENT}/{media.identity.folder}/{digest_of(state)[:16]}"

    def read(self, chunk: int) -> dict[int, str]:
        """Return the known hashes of a chunk's frames, by frame number."""
        try:
            content = self._storage.read(f"{self._folder}/{chunk}.json")
            known = json.loads(content) if content is not None else {}
            return {int(number): str(content_hash) for number, content_hash in known.items()}
        except (OSError, StorageError, ValueError, AttributeError):
            return {}

    def add(self, chunk: int, hashes: Mapping[int, str]) -> None:
        """Add hashes of a chunk's frames to those that are known."""
        known = self.read(chunk)
        all_known = {**known, **hashes}
        if all_known == known:
            return
        content = json.dumps(all_known, separators=(",", ":")).encode()
        try:
            self._storage.write(f"{self._folder}/{chunk}.json", content, durable=False)
        except (OSError, StorageError):
            return
