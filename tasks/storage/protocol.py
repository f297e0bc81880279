"""The interface of storage for manifests, leases and cached detections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from cvat_flows.tasks.model.errors import CvatFlowsError

TEMPORARY_PREFIX = ".tmp-"
"""Prefix of the names of files that are still being written. Listings omit them."""


class StorageError(CvatFlowsError):
    """The storage cannot be opened, or an operation failed."""


class StorageSettingsError(StorageError):
    """CVAT_FLOWS_STORAGE does not name a storage that can be used."""


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

    pack_size: int
    """Write content up to this many bytes under several names at a time (`write_many`). 0: a name
    costs as much as a file."""

    def read(self, path: str) -> bytes | None:
        """Return the content, or None if there is no such file."""

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Write the file. A crash at any moment leaves either the old or the new content.

        With `durable=False` a power failure may undo the write. This is faster, for content that
        can be computed again.
        """

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the content of those files that exist, by path."""

    def write_many(self, files: Iterable[tuple[Sequence[str], bytes]]) -> None:
        """Write each content under all its paths. A power failure may undo this."""

    def create(self, path: str, content: bytes) -> bool:
        """Write the file unless it exists; return whether it was written.

        Of several simultaneous calls exactly one returns True. Raises StorageError if the storage
        cannot do that.
        """

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
