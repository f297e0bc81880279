"""Storage that several machines share through `fsspec`, usually object storage."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

from cvat_flows.tasks.model.credentials import mask
from cvat_flows.tasks.storage.protocol import TEMPORARY_PREFIX, StorageError, StoredFile, split_path

URL_PATTERN = re.compile(r"([a-z][a-z0-9+]*)://.+")
# In these, a single write is atomic. Elsewhere, a rename is.
_OBJECT_STORES = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
)
_THREADS = 16
"""Remote storage answers in tens of milliseconds, and serves many requests at the same time."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class BlockStorage:
    """Files in a Prefect block that has an fsspec filesystem: `RemoteFileSystem` or `SMB`."""

    pack_size = 0

    def __init__(self, block: Any, name: str) -> None:
        self.block = block
        self.name = mask(name)
        """For messages."""
        self._filesystem = filesystem_of(block)
        # Other machines write here, too. From its cache, fsspec would return old listings and read
        # files with their old sizes.
        self._filesystem.dircache.use_listings_cache = False

    def __str__(self) -> str:
        return f"block {self.name}"

    def read(self, path: str) -> bytes | None:
        try:
            return bytes(self._filesystem.cat_file(self._full_path(path)))
        except Exception as error:
            if _means_missing(error):
                return None
            raise self._failed("read", path, error) from error

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        place = self._full_path(path)
        filesystem = self._filesystem
        try:
            if not self._needs_rename():
                filesystem.pipe_file(place, content)
                return
            folder, _, name = place.rpartition("/")
            temporary = f"{folder}/{TEMPORARY_PREFIX}{name}-{secrets.token_hex(6)}"
            filesystem.makedirs(folder, exist_ok=True)
            filesystem.pipe_file(temporary, content)
            filesystem.mv(temporary, place)
        except Exception as error:
            raise self._failed("write", path, error) from error

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        contents = self._in_threads(self.read, paths)
        return {
            p: content for p, content in zip(paths, contents, strict=True) if content is not None
        }

    def write_many(self, files: Iterable[tuple[Sequence[str], bytes]]) -> None:
        single = [(path, content) for paths, content in files for path in paths]
        self._in_threads(lambda file: self.write(*file, durable=False), single)

    def _in_threads(
        self, call: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> list[Result]:
        if len(arguments) < 2:
            return [call(argument) for argument in arguments]
        with ThreadPoolExecutor(min(_THREADS, len(arguments))) as pool:
            return list(pool.map(call, arguments))

    def create(self, path: str, content: bytes) -> bool:
        if not self._honours_conditions:
            raise StorageError(
                f"Storage {self.name!r} overwrites a file that was to be created only if it does "
                "not exist, so two runs could write to the same CVAT task: use a folder that the "
                "machines share, or object storage with conditional writes (AWS S3, MinIO)."
            )
        return self._create_object(path, content)

    @cached_property
    def _honours_conditions(self) -> bool:
        """Whether a second conditional write of the same object is refused, by trying it."""
        probe = f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}"
        self._create_object(probe, b"first")
        try:
            return not self._create_object(probe, b"second")
        finally:
            self.delete(probe)

    def _create_object(self, path: str, content: bytes) -> bool:
        try:
            self._filesystem.pipe_file(self._full_path(path), content, mode="create")
        except Exception as error:
            if not _means_exists(error):
                raise self._failed("create", path, error) from error
            # An earlier attempt may have created it, but its answer was lost.
            return self.read(path) == content
        return True

    def delete(self, path: str) -> None:
        filesystem = self._filesystem
        try:
            filesystem.rm_file(self._full_path(path))
        except Exception as error:
            if not _means_missing(error):
                raise self._failed("delete", path, error) from error

    def list(self, prefix: str) -> Iterator[StoredFile]:
        filesystem = self._filesystem
        filesystem.invalidate_cache()
        root = filesystem._strip_protocol(self._full_url("")).rstrip("/")
        top = "/".join((root, *split_path(prefix))) if prefix.strip("/") else root
        try:
            found = filesystem.find(top, detail=True)
        except Exception as error:
            if _means_missing(error):
                return
            raise self._failed("list", prefix, error) from error
        for full, info in sorted(found.items()):
            path = full.removeprefix(root).lstrip("/")
            if not path.rpartition("/")[2].startswith(TEMPORARY_PREFIX):
                yield StoredFile(
                    path=path, size=int(info.get("size") or 0), modified=_modified(info)
                )

    def _full_path(self, path: str) -> str:
        return self._full_url("/".join(split_path(path)))

    def _full_url(self, relative: str) -> str:
        return f"{str(self.block.basepath).rstrip('/')}/{relative}"

    def _needs_rename(self) -> bool:
        """Return whether files must be written elsewhere and renamed, as writes are not atomic."""
        scheme = self._scheme()
        return scheme is not None and scheme not in _OBJECT_STORES

    def _scheme(self) -> str | None:
        url = URL_PATTERN.fullmatch(str(getattr(self.block, "basepath", "")))
        return url[1] if url else None

    def _failed(self, verb: str, path: str, error: Exception) -> StorageError:
        # The text of a storage library's error may contain signed URLs, so only name its type.
        return StorageError(
            f"Storage {self.name!r} failed to {verb} {path!r} ({type(error).__name__}): check "
            "that it can be reached and that its credentials allow this."
        )


def filesystem_of(block: Any) -> Any:
    """Return the block's fsspec filesystem; None if it has none."""
    filesystem = getattr(block, "filesystem", None)
    filesystem = getattr(filesystem, "filesystem", filesystem)  # SMB wraps a RemoteFileSystem
    return filesystem if hasattr(filesystem, "rm_file") else None


def _means_missing(error: Exception) -> bool:
    """Return whether a storage library's error means that the file does not exist."""
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return True
    answer = getattr(error, "response", None)  # botocore
    if isinstance(answer, dict):
        return answer.get("Error", {}).get("Code") in ("NoSuchKey", "404", "NotFound")
    # google.api_core.exceptions.NotFound, azure.core.exceptions.ResourceNotFoundError
    return type(error).__name__ in ("NotFound", "ResourceNotFoundError", "BlobNotFound")


def _means_exists(error: Exception) -> bool:
    """Return whether S3 refused to create an object because it exists or is being changed."""
    answer = getattr(error.__cause__, "response", None)  # botocore
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return isinstance(error, FileExistsError) or code in (
        "PreconditionFailed",
        "ConditionalRequestConflict",
    )


def _modified(info: dict[str, Any]) -> datetime:
    for key in ("LastModified", "last_modified", "mtime", "updated", "modified", "created"):
        value = info.get(key)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.now(UTC)
