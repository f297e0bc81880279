"""Count what the caches hold, by function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import frozen

from cvat_flows.tasks.detect.cache import ABOUT, DETECTIONS
from cvat_flows.tasks.detect.content_index import CONTENT
from cvat_flows.tasks.storage import Storage, StoredFile


@frozen(kw_only=True)
class FunctionUsage:
    """What is cached of one function with one set of parameters."""

    title: str
    fingerprint: str
    parameters: Mapping[str, Any]
    images: int
    size: int
    """Bytes."""
    newest: datetime
    """When the newest entry was written."""


@frozen(kw_only=True)
class CacheUsage:
    """What is cached in total."""

    functions: tuple[FunctionUsage, ...]
    """The one with the newest entry first."""
    images: int
    size: int
    """Bytes, including the content index."""


def cache_usage(storage: Storage) -> CacheUsage:
    """Count the entries of the caches.

    Lists every file; in a local folder that takes about a second for some ten thousand files.
    """
    detections = list(storage.list(DETECTIONS))
    by_folder: dict[str, list[StoredFile]] = {}
    for file in detections:
        by_folder.setdefault(file.path.split("/")[1], []).append(file)
    functions = [_function_usage(storage, folder, files) for folder, files in by_folder.items()]
    return CacheUsage(
        functions=tuple(sorted(functions, key=lambda one: one.newest, reverse=True)),
        images=sum(one.images for one in functions),
        size=sum(file.size for file in (*detections, *storage.list(CONTENT))),
    )


def _function_usage(storage: Storage, folder: str, files: list[StoredFile]) -> FunctionUsage:
    try:
        about = json.loads(storage.read(f"{DETECTIONS}/{folder}/{ABOUT}") or b"")
    except ValueError:
        about = {}
    return FunctionUsage(
        title=str(about.get("title") or "unknown"),
        fingerprint=str(about.get("fingerprint") or "unknown"),
        parameters=about.get("parameters") or {},
        images=sum(not file.path.endswith(ABOUT) for file in files),
        size=sum(file.size for file in files),
        newest=max(file.modified for file in files),
    )
