"""Remove cache entries and results of runs that are too old or take too much space."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from cvat_flows.tasks.detect.cache import DETECTIONS
from cvat_flows.tasks.detect.call_notes import CALLS
from cvat_flows.tasks.detect.content_index import CONTENT
from cvat_flows.tasks.storage import Storage, StorageError

MAX_AGE = timedelta(days=90)
MAX_BYTES = 2 << 30
RESULTS = "results"
"""Folder in the storage where runs write their tables and preview pages."""

_CACHES = (DETECTIONS, CONTENT, CALLS)
_STATE = "cache-pruned.json"
"""Path in the storage: when caches were pruned last, and the limits."""
_NEVER = "2000-01-01T00:00:00+00:00"
_DAY = timedelta(days=1)


@frozen(kw_only=True)
class Limits:
    """Maximal age and total size, in bytes, of the caches and of the results of runs."""

    max_age: timedelta = MAX_AGE
    max_bytes: int = MAX_BYTES
    results_max_age: timedelta = MAX_AGE
    results_max_bytes: int = MAX_BYTES


@frozen(kw_only=True)
class Pruned:
    """What pruning removed and kept, in files and bytes."""

    removed: int
    removed_size: int
    kept: int
    kept_size: int


def prune(
    storage: Storage,
    *,
    max_age: timedelta | None = None,
    max_bytes: int | None = None,
    folders: Iterable[str] = _CACHES,
) -> Pruned:
    """Remove files older than `max_age`, then the oldest ones until `max_bytes` are left."""
    files = [file for folder in folders for file in storage.list(folder)]
    earliest = datetime.now(UTC) - max_age if max_age is not None else None
    kept = kept_size = removed = removed_size = 0
    full = False
    for file in sorted(files, key=lambda file: file.modified, reverse=True):
        full = full or (max_bytes is not None and kept_size + file.size > max_bytes)
        if full or (earliest is not None and file.modified < earliest):
            storage.delete(file.path)
            removed += 1
            removed_size += file.size
        else:
            kept += 1
            kept_size += file.size
    return Pruned(removed=removed, removed_size=removed_size, kept=kept, kept_size=kept_size)


def prune_to(storage: Storage, limits: Limits) -> Pruned:
    """Prune caches and results now, and store the limits for `prune_if_due`."""
    # The state is written first, so that runs that end at the same time do not all prune.
    _write_state(storage, limits)
    caches = prune(storage, max_age=limits.max_age, max_bytes=limits.max_bytes)
    results = prune(
        storage,
        max_age=limits.results_max_age,
        max_bytes=limits.results_max_bytes,
        folders=[RESULTS],
    )
    return Pruned(
        removed=caches.removed + results.removed,
        removed_size=caches.removed_size + results.removed_size,
        kept=caches.kept + results.kept,
        kept_size=caches.kept_size + results.kept_size,
    )


def prune_if_due(storage: Storage) -> Pruned | None:
    """Prune caches and results if the last time is more than a day ago.

    Called at the end of each run, where it usually costs one small read. Uses the limits of the
    last `prune_to`, or the default ones.

    Returns None if pruning is not due or the storage fails.
    """
    try:
        state = json.loads(storage.read(_STATE) or b"{}")
        limits = _limits(state)
        if datetime.now(UTC) - datetime.fromisoformat(state.get("at", _NEVER)) < _DAY:
            return None
    except (OSError, StorageError):
        return None
    except (ValueError, TypeError, AttributeError):
        limits = Limits()
    try:
        return prune_to(storage, limits)
    except (OSError, StorageError):
        return None


def _write_state(storage: Storage, limits: Limits) -> None:
    state = {
        "at": datetime.now(UTC).isoformat(),
        "days": limits.max_age / _DAY,
        "bytes": limits.max_bytes,
        "results_days": limits.results_max_age / _DAY,
        "results_bytes": limits.results_max_bytes,
    }
    storage.write(_STATE, json.dumps(state).encode(), durable=False)


def _limits(state: Mapping[str, Any]) -> Limits:
    """Read the limits that `_write_state` wrote. An earlier version wrote none for results."""
    return Limits(
        max_age=timedelta(days=state.get("days", MAX_AGE / _DAY)),
        max_bytes=int(state.get("bytes", MAX_BYTES)),
        results_max_age=timedelta(days=state.get("results_days", MAX_AGE / _DAY)),
        results_max_bytes=int(state.get("results_bytes", MAX_BYTES)),
    )
