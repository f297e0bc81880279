"""Look at what the caches hold, and prune it by age and size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from tasks.detection_cache import ABOUT, CONTENT, DETECTIONS
from tasks.storage import Storage, StorageError, StoredFile

MAX_AGE = timedelta(days=90)
MAX_BYTES = 2 << 30

_PRUNED = "cache-pruned.json"
_NEVER = "2000-01-01T00:00:00+00:00"


@frozen(kw_only=True)
class CachedFunction:
    """What is kept of one function with one set of parameters."""

    folder: str
    title: str
    fingerprint: str
    parameters: Mapping[str, Any]
    images: int
    size: int
    """Bytes."""
    newest: datetime


@frozen(kw_only=True)
class CacheContent:
    """What is kept in all."""

    functions: tuple[CachedFunction, ...]
    """Most recently used for writing first."""
    images: int
    size: int
    """Bytes, the content index included."""
    oldest: datetime | None


def look(storage: Storage) -> CacheContent:
    """Count what is kept. Lists every entry: a second for some ten thousand local ones."""
    functions: dict[str, list[StoredFile]] = {}
    files = list(_files(storage))
    for file in files:
        top, folder, *_ = file.path.split("/")
        if top == DETECTIONS:
            functions.setdefault(folder, []).append(file)
    cached = [_cached_function(storage, folder, found) for folder, found in functions.items()]
    return CacheContent(
        functions=tuple(sorted(cached, key=lambda one: one.newest, reverse=True)),
        images=sum(one.images for one in cached),
        size=sum(file.size for file in files),
        oldest=min((file.modified for file in files), default=None),
    )


@frozen(kw_only=True)
class Pruned:
    """What pruning removed and left, in files and bytes."""

    removed: int
    removed_size: int
    kept: int
    kept_size: int


def prune(
    storage: Storage,
    *,
    max_age: timedelta | None = None,
    max_bytes: int | None = None,
    now: datetime | None = None,
) -> Pruned:
    """Remove entries written longer ago than `max_age`, then the oldest beyond `max_bytes`."""
    files = sorted(_files(storage), key=lambda file: file.modified, reverse=True)
    earliest = (now or datetime.now(UTC)) - max_age if max_age is not None else None
    kept = kept_size = removed = removed_size = 0
    full = False
    for file in files:
        full = full or (max_bytes is not None and kept_size + file.size > max_bytes)
        if full or (earliest is not None and file.modified < earliest):
            storage.delete(file.path)
            removed += 1
            removed_size += file.size
        else:
            kept += 1
            kept_size += file.size
    return Pruned(removed=removed, removed_size=removed_size, kept=kept, kept_size=kept_size)


def keep_within(storage: Storage, *, max_age: timedelta, max_bytes: int) -> Pruned:
    """Prune now, and have the runs of the coming days keep to the same bounds."""
    now = datetime.now(UTC)
    _remember(storage, now, max_age, max_bytes)
    return prune(storage, max_age=max_age, max_bytes=max_bytes, now=now)


def prune_if_due(storage: Storage, *, every: timedelta = timedelta(days=1)) -> Pruned | None:
    """Prune unless that was done within `every`; None if it was, or cannot be done now.

    For the end of each run: it costs one small read, but for one run a day. The bounds are those
    of `keep_within`, if it was ever called.
    """
    now = datetime.now(UTC)
    try:
        known = json.loads(storage.read(_PRUNED) or b"{}")
        max_age = timedelta(days=known["days"]) if "days" in known else MAX_AGE
        max_bytes = int(known.get("bytes", MAX_BYTES))
        if now - datetime.fromisoformat(known.get("at", _NEVER)) < every:
            return None
    except (OSError, StorageError):
        return None
    except (ValueError, TypeError, AttributeError):
        max_age, max_bytes = MAX_AGE, MAX_BYTES
    try:
        # First, so that runs that end at the same time do not prune all at once.
        _remember(storage, now, max_age, max_bytes)
        return prune(storage, max_age=max_age, max_bytes=max_bytes, now=now)
    except (OSError, StorageError):
        return None


def _remember(storage: Storage, now: datetime, max_age: timedelta, max_bytes: int) -> None:
    known = {"at": now.isoformat(), "days": max_age / timedelta(days=1), "bytes": max_bytes}
    storage.write(_PRUNED, json.dumps(known).encode(), durable=False)


def _files(storage: Storage) -> Iterator[StoredFile]:
    for top in (DETECTIONS, CONTENT):
        yield from storage.list(top)


def _cached_function(storage: Storage, folder: str, files: list[StoredFile]) -> CachedFunction:
    try:
        about = json.loads(storage.read(f"{DETECTIONS}/{folder}/{ABOUT}") or b"")
    except ValueError:
        about = {}
    return CachedFunction(
        folder=folder,
        title=str(about.get("title") or "unknown"),
        fingerprint=str(about.get("fingerprint") or "unknown"),
        parameters=about.get("parameters") or {},
        images=sum(not file.path.endswith(ABOUT) for file in files),
        size=sum(file.size for file in files),
        newest=max(file.modified for file in files),
    )
