"""Storage for manifests, leases and cached detections: a folder or a Prefect filesystem block.

A folder is for one machine, or for several that mount it. A block is for object storage that
several machines share. Prefect is imported only if a block is used.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from cvat_flows.tasks.model.credentials import remember, remember_address
from cvat_flows.tasks.storage.folder import FolderStorage
from cvat_flows.tasks.storage.protocol import (
    Storage,
    StorageError,
    StorageSettingsError,
    StoredFile,
)
from cvat_flows.tasks.storage.remote import URL_PATTERN, BlockStorage, filesystem_of

__all__ = [
    "BlockStorage", "FolderStorage", "Storage", "StorageError", "StorageSettingsError",
    "StoredFile", "open_storage",
]  # fmt: skip

_CREDENTIAL = re.compile(r"key|secret|token|password|connection_string")
_BLOCK = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*/[a-z0-9]+(?:-[a-z0-9]+)*")


def open_storage(url_or_block: str | None = None) -> Storage:
    """Open a folder, a Prefect filesystem block or a URL that `fsspec` understands.

    - `None`: the value of the environment variable CVAT_FLOWS_STORAGE, or `~/.cvat-flows`;
    - `block-type/block-name`, for example `remote-file-system/shared`: that Prefect block;
    - a URL, for example `s3://bucket/folder`: `fsspec` finds the credentials;
    - a path (`/var/lib/cvat-flows`, `./state`, `~/state`): that folder.

    Raises StorageError if it cannot be opened.
    """
    name = url_or_block or os.environ.get("CVAT_FLOWS_STORAGE") or "~/.cvat-flows"
    remember_address(name)
    if name.startswith("file://"):
        return FolderStorage(Path(name.removeprefix("file://")))
    if URL_PATTERN.fullmatch(name):
        return _storage_of_block(_remote_file_system(name), name)
    if _BLOCK.fullmatch(name):
        return _storage_of_block(_load_block(name), name)
    if name.startswith(("/", ".", "~")) or Path(name).is_absolute():
        return FolderStorage(Path(name).expanduser())
    raise StorageSettingsError(
        f"Storage {name!r} is neither a folder nor a Prefect block: write a folder as './{name}' "
        "or as its absolute path, a block as 'block-type/block-name'."
    )


def _storage_of_block(block: Any, name: str) -> Storage:
    _remember_credentials(block)
    if type(block).__name__ == "LocalFileSystem":
        # The block's writes are not atomic; those of FolderStorage are.
        return FolderStorage(Path(block.basepath or "~/.cvat-flows").expanduser())
    try:
        filesystem = filesystem_of(block)
    except Exception as error:
        # The text of a storage library's error may contain signed URLs, so only name its type.
        raise StorageSettingsError(
            f"Storage {name!r} cannot be opened ({type(error).__name__}): check that its library "
            "is installed (cvat-flows[s3] for S3)."
        ) from error
    if filesystem is None:
        raise StorageSettingsError(
            f"Prefect block {name!r} of type {type(block).__name__} cannot list and delete files: "
            "use a folder, a URL such as s3://bucket/folder, or a 'remote-file-system' block."
        )
    return BlockStorage(block, name)


def _remember_credentials(block: Any) -> None:
    """Mask the block's passwords and keys in texts."""
    remember_address(str(getattr(block, "basepath", "")))
    for name, value in (getattr(block, "settings", None) or {}).items():
        if isinstance(value, str) and _CREDENTIAL.search(name):
            remember(value)
    for value in vars(block).values():
        if hasattr(value, "get_secret_value"):
            remember(str(value.get_secret_value()))


def _load_block(name: str) -> Any:
    from prefect.blocks.core import Block

    try:
        # Without `_sync`, Prefect returns a coroutine if the caller has an event loop.
        load: Any = Block.load
        return load(name, _sync=True)
    except ValueError as error:
        raise StorageSettingsError(
            f"There is no Prefect block {name!r}: create it in the Prefect UI under Blocks, or "
            "write a folder as an absolute path."
        ) from error


def _remote_file_system(url: str) -> Any:
    from prefect.filesystems import RemoteFileSystem

    return RemoteFileSystem(basepath=url)
