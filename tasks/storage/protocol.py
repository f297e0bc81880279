"""What storage for manifests, leases and cached detections is asked to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from attrs import frozen

from cvat_flows.tasks.model.errors import CvatFlowsError

TEMPORARY = ".tmp-"
"""Begins the names of files that are being written; listings leave them out."""


class StorageError(CvatFlowsError):
    """The storage cannot be opened, or cannot do what was asked of it."""


@frozen(kw_only=True)
class StoredFile:
    """One file as a listing shows it."""

    path: str
    size: int
    """Bytes; a share of them where a file has several names."""
    modified: datetime
    """In UTC; for storage that keeps no dates, the time of the listing."""


class Storage(Protocol):
    """Small files under '/'-separated relative paths. Safe to use from several threads."""

    @property
    def exclusive(self) -> bool:
        """Whether `create` is atomic: of two at the same time exactly one returns True."""

    def read(self, path: str) -> bytes | None:
        """Return the content, or None if there is no such file."""

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Write the file. A crash at any instant leaves the old content or the new one.

        With `durable=False` a power failure may undo it: enough for what can be made again.
        """

    def create(self, path: str, content: bytes) -> bool:
        """Write the file unless there is one; return whether it was written."""

    def delete(self, path: str) -> None:
        """Delete the file; no error if there is none."""

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files in folder `prefix` and below ('' for all)."""


def parts(path: str) -> list[str]:
    """The names in a relative path. Raises ValueError if it leads elsewhere."""
    names = path.strip("/").split("/") if not path.startswith("/") else [""]
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in names):
        raise ValueError(f"{path!r} is no relative path of plain names")
    return names
