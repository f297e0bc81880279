"""Check the storage, and the disks of the storage and of the temporary folder."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cvat_flows.deployments.doctor.disk import check_disk
from cvat_flows.deployments.doctor.verdict import Verdict, failure, ok
from cvat_flows.tasks.storage import FolderStorage, open_storage

PRUNE = "free some disk space, or prune the cache: `cvat-flows cache prune --max-size 1` (GB)"


def check_storage() -> Iterator[Verdict]:
    """Create, read, list and delete a small file; a lease needs that only one `create` succeeds."""
    storage = open_storage()
    path = f"doctor/{secrets.token_hex(8)}"
    content = secrets.token_bytes(64)
    started = time.monotonic()
    created = storage.create(path, content)
    try:
        created = created and not storage.create(path, b"")
        same = storage.read(path) == content
        listed = [file.path for file in storage.list("doctor")]
    finally:
        storage.delete(path)
    took = time.monotonic() - started
    if not created or not same or path not in listed:
        yield failure(
            "storage",
            f"{storage} does not return what was just written",
            "look for a cache or a proxy in front of it",
        )
    else:
        yield ok("storage", f"{storage}, {took * 1000:.0f} ms to create, read, list and delete")
    yield check_disk("temporary folder", Path(tempfile.gettempdir()), PRUNE)
    if isinstance(storage, FolderStorage):
        yield check_disk("storage folder", storage.root, PRUNE)
