"""Look at what the caches hold, and prune them and the results of runs by age and size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from cvat_flows.tasks.detect.cache import ABOUT, CONTENT, DETECTIONS
from cvat_flows.tasks.storage import Storage, StorageError, StoredFile

MAX_AGE = timedelta(days=90)
MAX_BYTES = 2 << 30
RESULTS = "results"
"""Folder of the storage for what runs write about themselves: tables and pages."""

_CACHES = (DETECTIONS, CONTENT)
_PRUNED = "cache-pruned.json"
_NEVER = "2000-01-01T00:00:00+00:00"
_DAY = timedelta(days=1)


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


@frozen(kw_only=True)
class Bounds:
    """How old, and how large in all, the caches may get, and likewise the results."""

    max_age: timedelta = MAX_AGE
    max_bytes: int = MAX_BYTES
    results_max_age: timedelta = MAX_AGE
    results_max_bytes: int = MAX_BYTES


def look(storage: Storage) -> CacheContent:
    """Count what is kept. Lists every entry: a second for some ten thousand local ones."""
    functions: dict[str, list[StoredFile]] = {}
    files = list(_files(storage, _CACHES))
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
    folders: Iterable[str] = _CACHES,
) -> Pruned:
    """Remove files written longer ago than `max_age`, then the oldest beyond `max_bytes`."""
    files = sorted(_files(storage, folders), key=lambda file: file.modified, reverse=True)
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


def keep_within(storage: Storage, bounds: Bounds) -> Pruned:
    """Prune now, and have the runs of the coming days keep to the same bounds."""
    now = datetime.now(UTC)
    _remember(storage, now, bounds)
    return _prune_all(storage, now, bounds)


def prune_if_due(storage: Storage, *, every: timedelta = timedelta(days=1)) -> Pruned | None:
    """Prune unless that was done within `every`; None if it was, or cannot be done now.

    For the end of each run: it costs one small read, but for one run a day. The bounds are those
    of `keep_within`, if it was ever called.
    """
    now = datetime.now(UTC)
    try:
        known = json.loads(storage.read(_PRUNED) or b"{}")
        bounds = _known_bounds(known)
        if now - datetime.fromisoformat(known.get("at", _NEVER)) < every:
            return None
    except (OSError, StorageError):
        return None
    except (ValueError, TypeError, AttributeError):
        bounds = Bounds()
    try:
        # First, so that runs that end at the same time do not prune all at once.
        _remember(storage, now, bounds)
        return _prune_all(storage, now, bounds)
    except (OSError, StorageError):
        return None


def _prune_all(storage: Storage, now: datetime, bounds: Bounds) -> Pruned:
    caches = prune(storage, max_age=bounds.max_age, max_bytes=bounds.max_bytes, now=now)
    results = prune(
        storage,
        max_age=bounds.results_max_age,
        max_bytes=bounds.results_max_bytes,
        now=now,
        folders=[RESULTS],
    )
    return Pruned(
        removed=caches.removed + results.removed,
        removed_size=caches.removed_size + results.removed_size,
        kept=caches.kept + results.kept,
        kept_size=caches.kept_size + results.kept_size,
    )


def _remember(storage: Storage, now: datetime, bounds: Bounds) -> None:
    known = {
        "at": now.isoformat(),
        "days": bounds.max_age / _DAY,
        "bytes": bounds.max_bytes,
        "results_days": bounds.results_max_age / _DAY,
        "results_bytes": bounds.results_max_bytes,
    }
    storage.write(_PRUNED, json.dumps(known).encode(), durable=False)


def _known_bounds(known: Mapping[str, Any]) -> Bounds:
    """What `_remember` wrote; an earlier version knew of no results."""
    return Bounds(
        max_age=timedelta(days=known.get("days", MAX_AGE / _DAY)),
        max_bytes=int(known.get("bytes", MAX_BYTES)),
        results_max_age=timedelta(days=known.get("results_days", MAX_AGE / _DAY)),
        results_max_bytes=int(known.get("results_bytes", MAX_BYTES)),
    )


def _files(storage: Storage, folders: Iterable[str]) -> Iterator[StoredFile]:
    for top in folders:
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
