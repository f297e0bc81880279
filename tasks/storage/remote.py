"""Storage that several machines share through `fsspec`: object storage, mostly."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from cvat_flows.tasks.storage.protocol import TEMPORARY, StorageError, StoredFile, parts

URL = re.compile(r"([a-z][a-z0-9+]*)://.+")
# One PUT of an object is atomic there; everywhere else a rename is.
_OBJECT_STORES = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
)
_CONDITIONAL_WRITES = frozenset({"s3", "s3a"})


class BlockStorage:
    """A Prefect block with an fsspec filesystem: `RemoteFileSystem` and `SMB`.

    Unless `exclusive`, `create` is a look and a write: two at the same time may both succeed.
    """

    def __init__(self, block: Any, name: str) -> None:
        self.block = block
        self.name = name
        self._filesystem = filesystem_of(block)
        # fsspec would believe what it has listed or read once, and read files by sizes that they
        # no longer have: other machines write here, too.
        self._filesystem.dircache.use_listings_cache = False

    def __repr__(self) -> str:
        return f"BlockStorage({self.name!r})"

    def read(self, path: str) -> bytes | None:
        try:
            return bytes(self._filesystem.cat_file(self._place(path)))
        except Exception as error:
            if _means_missing(error):
                return None
            raise self._failed("read", path, error) from error

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        place = self._place(path)
        filesystem = self._filesystem
        try:
            if not self._renames():
                filesystem.pipe_file(place, content)
                return
            folder, _, name = place.rpartition("/")
            temporary = f"{folder}/{TEMPORARY}{name}-{secrets.token_hex(6)}"
            filesystem.makedirs(folder, exist_ok=True)
            filesystem.pipe_file(temporary, content)
            filesystem.mv(temporary, place)
        except Exception as error:
            raise self._failed("write", path, error) from error

    @cached_property
    def exclusive(self) -> bool:
        """Tried out: some servers that speak S3's protocol overwrite, whatever the condition."""
        if self._scheme() not in _CONDITIONAL_WRITES:
            return False
        probe = f"{TEMPORARY}{secrets.token_hex(6)}"
        self._create_object(probe, b"first")
        try:
            return not self._create_object(probe, b"second")
        finally:
            self.delete(probe)

    def create(self, path: str, content: bytes) -> bool:
        if self.exclusive:
            return self._create_object(path, content)
        if self.read(path) is not None:
            return False
        self.write(path, content)
        return True

    def _create_object(self, path: str, content: bytes) -> bool:
        try:
            self._filesystem.pipe_file(self._place(path), content, mode="create")
        except Exception as error:
            if not _means_taken(error):
                raise self._failed("create", path, error) from error
            # By us, if the answer to an earlier attempt was lost.
            return self.read(path) == content
        return True

    def delete(self, path: str) -> None:
        filesystem = self._filesystem
        try:
            filesystem.rm_file(self._place(path))
        except Exception as error:
            if not _means_missing(error):
                raise self._failed("delete", path, error) from error

    def list(self, prefix: str) -> Iterator[StoredFile]:
        filesystem = self._filesystem
        filesystem.invalidate_cache()
        root = filesystem._strip_protocol(self._full("")).rstrip("/")
        top = "/".join((root, *parts(prefix))) if prefix.strip("/") else root
        try:
            found = filesystem.find(top, detail=True)
        except Exception as error:
            if _means_missing(error):
                return
            raise self._failed("list", prefix, error) from error
        for full, facts in sorted(found.items()):
            path = full.removeprefix(root).lstrip("/")
            if not path.rpartition("/")[2].startswith(TEMPORARY):
                yield StoredFile(
                    path=path, size=int(facts.get("size") or 0), modified=_modified(facts)
                )

    def _place(self, path: str) -> str:
        return self._full("/".join(parts(path)))

    def _full(self, relative: str) -> str:
        return f"{str(self.block.basepath).rstrip('/')}/{relative}"

    def _renames(self) -> bool:
        """Whether files are to be written aside and renamed, as a plain write is not atomic."""
        scheme = self._scheme()
        return scheme is not None and scheme not in _OBJECT_STORES

    def _scheme(self) -> str | None:
        url = URL.fullmatch(str(getattr(self.block, "basepath", "")))
        return url[1] if url else None

    def _failed(self, verb: str, path: str, error: Exception) -> StorageError:
        # The text of a storage library's error may hold signed URLs: name its type alone.
        return StorageError(
            f"Storage {self.name!r} failed to {verb} {path!r} ({type(error).__name__}): check "
            "that it can be reached and that its credentials allow this."
        )


def filesystem_of(block: Any) -> Any:
    """The block's fsspec filesystem; None if it has none."""
    filesystem = getattr(block, "filesystem", None)
    filesystem = getattr(filesystem, "filesystem", filesystem)  # SMB wraps a RemoteFileSystem
    return filesystem if hasattr(filesystem, "rm_file") else None


def _means_missing(error: Exception) -> bool:
    """Whether a storage library's error says that there is no such file."""
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return True
    answer = getattr(error, "response", None)  # botocore
    if isinstance(answer, dict):
        return answer.get("Error", {}).get("Code") in ("NoSuchKey", "404", "NotFound")
    # google.api_core.exceptions.NotFound, azure.core.exceptions.ResourceNotFoundError
    return type(error).__name__ in ("NotFound", "ResourceNotFoundError", "BlobNotFound")


def _means_taken(error: Exception) -> bool:
    """Whether S3 refused to create an object: there is one, or one is being made or deleted."""
    answer = getattr(error.__cause__, "response", None)  # botocore
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return isinstance(error, FileExistsError) or code in (
        "PreconditionFailed",
        "ConditionalRequestConflict",
    )


def _modified(facts: dict[str, Any]) -> datetime:
    for key in ("LastModified", "last_modified", "mtime", "updated", "modified", "created"):
        value = facts.get(key)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.now(UTC)
