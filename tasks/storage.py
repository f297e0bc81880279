"""Where manifests, leases and cached detections live: a folder, or a Prefect filesystem block.

A folder serves one machine (or several that mount it); a block serves object storage that
several machines share. Prefect is imported only when a block is asked for.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from tasks.errors import CvatFlowsError

_TEMPORARY = ".tmp-"
_ABANDONED_S = 86_400
_BLOCK = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*/[a-z0-9]+(?:-[a-z0-9]+)*")
_URL = re.compile(r"([a-z][a-z0-9+]*)://.+")
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
# One PUT of an object is atomic there; everywhere else a rename is.
_OBJECT_STORES = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
)
_CONDITIONAL_WRITES = frozenset({"s3", "s3a"})


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


def open_storage(url_or_block: str | None = None) -> Storage:
    """Open a folder, a Prefect filesystem block or a URL that `fsspec` understands.

    - `None`: what the environment variable CVAT_FLOWS_STORAGE names, else `~/.cvat-flows`;
    - `block-type/block-name`, for example `remote-file-system/shared`: that Prefect block;
    - `s3://bucket/folder` and the like: credentials come from where `fsspec` looks for them;
    - anything else with a path's look (`/var/lib/cvat-flows`, `./state`, `~/state`): a folder.

    Raises `StorageError` if it cannot be opened.
    """
    name = url_or_block or os.environ.get("CVAT_FLOWS_STORAGE") or "~/.cvat-flows"
    if name.startswith("file://"):
        return FolderStorage(Path(name.removeprefix("file://")))
    if _URL.fullmatch(name):
        return _block_storage(_remote_file_system(name), name)
    if _BLOCK.fullmatch(name):
        return _block_storage(_load_block(name), name)
    if name.startswith(("/", ".", "~")) or Path(name).is_absolute():
        return FolderStorage(Path(name).expanduser())
    raise StorageError(
        f"Storage {name!r} is neither a folder nor a Prefect block: write a folder as './{name}' "
        "or with its whole path, a block as 'block-type/block-name'."
    )


class FolderStorage:
    """A folder of the local (or a mounted) file system."""

    exclusive = True

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def __repr__(self) -> str:
        return f"FolderStorage({str(self.root)!r})"

    def read(self, path: str) -> bytes | None:
        try:
            return self._place(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        place = self._place(path)
        temporary = self._temporary(place, content, durable=durable)
        try:
            os.replace(temporary, place)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(place.parent)

    def write_linked(self, paths: Sequence[str], content: bytes) -> bool:
        """Write the content once and give it several names; a power failure may undo it.

        Returns False where the file system has no such links: some of the names may be there then.
        """
        places = [self._place(path) for path in paths]
        temporary = self._temporary(places[0], content, durable=False)
        try:
            for place in places:
                place.parent.mkdir(exist_ok=True)
                _link(temporary, place)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise _cannot_write(place, error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def create(self, path: str, content: bytes) -> bool:
        # A link appears with its whole content or not at all; O_EXCL would show an empty file
        # to a reader in between.
        place = self._place(path)
        temporary = self._temporary(place, content)
        try:
            os.link(temporary, place)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(place.parent)
        return True

    def delete(self, path: str) -> None:
        place = self._place(path)
        with suppress(FileNotFoundError, NotADirectoryError):
            place.unlink()
        # Each run has a folder in the results: empty ones would pile up.
        if place.parent != self.root:
            with suppress(OSError):
                place.parent.rmdir()

    def list(self, prefix: str) -> Iterator[StoredFile]:
        top = self._place(prefix) if prefix.strip("/") else self.root
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                place = Path(folder, name)
                try:
                    status = place.stat()
                except FileNotFoundError:
                    continue
                if name.startswith(_TEMPORARY):
                    # What a killed writer left; a living one renames within seconds.
                    if time.time() - status.st_mtime > _ABANDONED_S:
                        place.unlink(missing_ok=True)
                    continue
                yield StoredFile(
                    path=place.relative_to(self.root).as_posix(),
                    size=status.st_size // max(status.st_nlink, 1),
                    modified=datetime.fromtimestamp(status.st_mtime, UTC),
                )

    def _place(self, path: str) -> Path:
        return self.root.joinpath(*_parts(path))

    def _temporary(self, place: Path, content: bytes, *, durable: bool = True) -> Path:
        """Write (and fsync) a file next to `place`, so that a rename can put it there."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = place.with_name(f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
            with temporary.open("xb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise _cannot_write(place, error) from error
        return temporary


class BlockStorage:
    """A Prefect block with an fsspec filesystem: `RemoteFileSystem` and `SMB`.

    Unless `exclusive`, `create` is a look and a write: two at the same time may both succeed.
    """

    def __init__(self, block: Any, name: str) -> None:
        self.block = block
        self.name = name
        self._filesystem = _filesystem_of(block)
        # fsspec would believe what it has listed or read once, and read files by sizes that they
        # no longer have: other machines write here, too.
        self._filesystem.dircache.use_listings_cache = False

    def __repr__(self) -> str:
        return f"BlockStorage({self.name!r})"

    def read(self, path: str) -> bytes | None:
        try:
            return bytes(self._filesystem.cat_file(self._full("/".join(_parts(path)))))
        except Exception as error:
            if _means_missing(error):
                return None
            raise self._failed("read", path, error) from error

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        place = self._full("/".join(_parts(path)))
        filesystem = self._filesystem
        try:
            if not self._renames():
                filesystem.pipe_file(place, content)
                return
            folder, _, name = place.rpartition("/")
            temporary = f"{folder}/{_TEMPORARY}{name}-{secrets.token_hex(6)}"
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
        probe = f"{_TEMPORARY}{secrets.token_hex(6)}"
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
            self._filesystem.pipe_file(self._full("/".join(_parts(path))), content, mode="create")
        except Exception as error:
            if not _means_taken(error):
                raise self._failed("create", path, error) from error
            # By us, if the answer to an earlier attempt was lost.
            return self.read(path) == content
        return True

    def delete(self, path: str) -> None:
        filesystem = self._filesystem
        try:
            filesystem.rm_file(self._full("/".join(_parts(path))))
        except Exception as error:
            if not _means_missing(error):
                raise self._failed("delete", path, error) from error

    def list(self, prefix: str) -> Iterator[StoredFile]:
        filesystem = self._filesystem
        filesystem.invalidate_cache()
        root = filesystem._strip_protocol(self._full("")).rstrip("/")
        top = "/".join((root, *_parts(prefix))) if prefix.strip("/") else root
        try:
            found = filesystem.find(top, detail=True)
        except Exception as error:
            if _means_missing(error):
                return
            raise self._failed("list", prefix, error) from error
        for full, facts in sorted(found.items()):
            path = full.removeprefix(root).lstrip("/")
            if not path.rpartition("/")[2].startswith(_TEMPORARY):
                yield StoredFile(
                    path=path, size=int(facts.get("size") or 0), modified=_modified(facts)
                )

    def _full(self, relative: str) -> str:
        return f"{str(self.block.basepath).rstrip('/')}/{relative}"

    def _renames(self) -> bool:
        """Whether files are to be written aside and renamed, as a plain write is not atomic."""
        scheme = self._scheme()
        return scheme is not None and scheme not in _OBJECT_STORES

    def _scheme(self) -> str | None:
        url = _URL.fullmatch(str(getattr(self.block, "basepath", "")))
        return url[1] if url else None

    def _failed(self, verb: str, path: str, error: Exception) -> StorageError:
        # The text of a storage library's error may hold signed URLs: name its type alone.
        return StorageError(
            f"Storage {self.name!r} failed to {verb} {path!r} ({type(error).__name__}): check "
            "that it can be reached and that its credentials allow this."
        )


def _block_storage(block: Any, name: str) -> Storage:
    if type(block).__name__ == "LocalFileSystem":
        # The block writes in place; the folder is written atomically.
        return FolderStorage(Path(block.basepath or "~/.cvat-flows").expanduser())
    try:
        filesystem = _filesystem_of(block)
    except Exception as error:
        # The text of a storage library's error may hold signed URLs: name its type alone.
        raise StorageError(
            f"Storage {name!r} cannot be opened ({type(error).__name__}): is the library for it "
            "installed (cvat-flows[s3] for S3)?"
        ) from error
    if filesystem is None:
        raise StorageError(
            f"Prefect block {name!r} of type {type(block).__name__} cannot list and delete files: "
            "use a folder, a URL such as s3://bucket/folder, or a 'remote-file-system' block."
        )
    return BlockStorage(block, name)


def _filesystem_of(block: Any) -> Any:
    """The block's fsspec filesystem; None if it has none."""
    filesystem = getattr(block, "filesystem", None)
    filesystem = getattr(filesystem, "filesystem", filesystem)  # SMB wraps a RemoteFileSystem
    return filesystem if hasattr(filesystem, "rm_file") else None


def _load_block(name: str) -> Any:
    from prefect.blocks.core import Block

    try:
        return _wait(lambda: Block.load(name))
    except ValueError as error:
        raise StorageError(
            f"There is no Prefect block {name!r}: make it in the Prefect UI under Blocks, or "
            "write a folder with its whole path."
        ) from error


def _remote_file_system(url: str) -> Any:
    from prefect.filesystems import RemoteFileSystem

    return RemoteFileSystem(basepath=url)


def _wait(call: Callable[[], Any]) -> Any:
    """Call a method of a block that may be a plain one or, inside an event loop, a coroutine."""
    answer = call()
    if not inspect.isawaitable(answer):
        return answer
    from prefect.utilities.asyncutils import run_coro_as_sync

    async def finish() -> Any:
        return await answer

    return run_coro_as_sync(finish())


def _parts(path: str) -> list[str]:
    parts = path.strip("/").split("/") if not path.startswith("/") else [""]
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise ValueError(f"{path!r} is no relative path of plain names")
    return parts


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


def _link(existing: Path, place: Path) -> None:
    """Give a file another name, that of another file if need be."""
    try:
        os.link(existing, place)
    except FileExistsError:
        place.unlink(missing_ok=True)
        with suppress(FileExistsError):  # another process was faster
            os.link(existing, place)


def _cannot_write(place: Path, error: OSError) -> StorageError:
    return StorageError(
        f"Cannot write {str(place)!r} ({error.strerror}): check the folder's rights and "
        "free space, or name another one in CVAT_FLOWS_STORAGE."
    )


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power failure, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
