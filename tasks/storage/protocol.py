"""The interface of storage for manifests, leases and cached detections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from attrs import frozen

from cvat_flows.tasks.model.errors import CvatFlowsError

TEMPORARY_PREFIX = ".tmp-"
"""Prefix of the names of files that are still being written. Listings omit them."""


class StorageError(CvatFlowsError):
    """The storage cannot be opened, or an operation failed."""


@frozen(kw_only=True)
class StoredFile:
    """One file of a listing."""

    path: str
    size: int
    """Bytes. If a file has several names, the bytes are divided among them."""
    modified: datetime
    """In UTC. If the storage has no dates, the time of the listing."""


class Storage(Protocol):
    """Small files with relative paths, separated by '/'. Safe to use from several threads."""

    @property
    def creates_atomically(self) -> bool:
        """Whether exactly one of several simultaneous `create` calls returns True."""

    def read(self, path: str) -> bytes | None:
        """Return the content, or None if there is no such file."""

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Write the file. A crash at any moment leaves either the old or the new content.

        With `durable=False` a power failure may undo the write. This is faster, for content that
        can be computed again.
        """

    def create(self, path: str, content: bytes) -> bool:
        """Write the file unless it exists; return whether it was written."""

    def delete(self, path: str) -> None:
        """Delete the file if it exists."""

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield all files in folder `prefix` and its subfolders; '' means all files."""


def split_path(path: str) -> list[str]:
    """Split a relative path into its names. Raises ValueError if it could leave the storage."""
    names = path.strip("/").split("/") if not path.startswith("/") else [""]
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in names):
        raise ValueError(f"{path!r} is not a relative path of plain names")
    return names
