"""Storage in a folder, which several machines may mount.

Only its owner can read what is in it. A folder that its group may write to is shared: its group
gets the same access as the owner, as far as the umask allows it. The same holds for everybody.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cvat_flows.tasks.storage.protocol import TEMPORARY_PREFIX, StorageError, StoredFile, split_path

_ABANDONED_AFTER = 86_400
"""Seconds after which a temporary file belongs to a killed process. Writing takes seconds."""
_PACK_SIZE = 1 << 16
"""Bytes. A hard link takes less time and disk space than a file, but reading one reads it all."""
_LINKS_UNSUPPORTED = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class FolderStorage:
    """Files in a folder of a local or mounted file system."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.pack_size = _PACK_SIZE

    def __str__(self) -> str:
        return f"folder {self.root}"

    def read(self, path: str) -> bytes | None:
        try:
            return self._full_path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        place = self._full_path(path)
        temporary = self._write_temporary(place, content, durable=durable)
        try:
            os.replace(temporary, place)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(place.parent)

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        found = ((path, self.read(path)) for path in paths)
        return {path: content for path, content in found if content is not None}

    def write_many(self, files: Iterable[tuple[Sequence[str], bytes]]) -> None:
        for paths, content in files:
            if len(paths) < 2 or not self._write_linked(paths, content):
                for path in paths:
                    self.write(path, content, durable=False)

    def _write_linked(self, paths: Sequence[str], content: bytes) -> bool:
        """Write the content once, under several names (hard links).

        Returns False if the file system does not support them. Some of the names may exist then.
        """
        places = [self._full_path(path) for path in paths]
        temporary = self._write_temporary(places[0], content, durable=False)
        try:
            for place in places:
                self._make_folder(place.parent)
                _link(temporary, place)
        except OSError as error:
            if error.errno in _LINKS_UNSUPPORTED:
                self.pack_size = 0
                return False
            raise _cannot_write(place, error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def create(self, path: str, content: bytes) -> bool:
        # A link appears with its complete content. With O_EXCL, a reader could see an empty file.
        place = self._full_path(path)
        temporary = self._write_temporary(place, content)
        try:
            os.link(temporary, place)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _LINKS_UNSUPPORTED:
                raise _cannot_write(place, error) from error
            raise StorageError(
                f"The file system of {str(self.root)!r} has no hard links, so two runs could write "
                "to the same CVAT task: set CVAT_FLOWS_STORAGE to a folder of another file system."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(place.parent)
        return True

    def delete(self, path: str) -> None:
        place = self._full_path(path)
        with suppress(FileNotFoundError, NotADirectoryError):
            place.unlink()
        # Each run has a folder for its results; empty folders must not accumulate.
        if place.parent != self.root:
            with suppress(OSError):
                place.parent.rmdir()

    def list(self, prefix: str) -> Iterator[StoredFile]:
        top = self._full_path(prefix) if prefix.strip("/") else self.root
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                place = Path(folder, name)
                try:
                    status = place.stat()
                except FileNotFoundError:
                    continue
                if name.startswith(TEMPORARY_PREFIX):
                    if time.time() - status.st_mtime > _ABANDONED_AFTER:
                        place.unlink(missing_ok=True)
                    continue
                yield StoredFile(
                    path=place.relative_to(self.root).as_posix(),
                    size=status.st_size // max(status.st_nlink, 1),
                    modified=datetime.fromtimestamp(status.st_mtime, UTC),
                )

    def _full_path(self, path: str) -> Path:
        return self.root.joinpath(*split_path(path))

    @cached_property
    def _access_of_others(self) -> int:
        """The mode bits of folders for users other than the owner."""
        try:
            mode = self.root.stat().st_mode
        except OSError:  # there is no such folder yet
            return 0
        return (stat.S_IRWXG if mode & stat.S_IWGRP else 0) | (
            stat.S_IRWXO if mode & stat.S_IWOTH else 0
        )

    def _make_folder(self, folder: Path) -> None:
        mode = stat.S_IRWXU | self._access_of_others
        try:
            folder.mkdir(mode, exist_ok=True)
        except FileNotFoundError:
            if folder == self.root:
                folder.parent.mkdir(parents=True, exist_ok=True)
            else:
                self._make_folder(folder.parent)
            folder.mkdir(mode, exist_ok=True)

    def _create_file(self, path: str, flags: int) -> int:
        return os.open(path, flags, 0o600 | self._access_of_others & 0o066)

    def _write_temporary(self, place: Path, content: bytes, *, durable: bool = True) -> Path:
        """Write a temporary file next to `place`, which then can be renamed or linked."""
        try:
            self._make_folder(place.parent)
            temporary = place.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}")
            with open(temporary, "xb", opener=self._create_file) as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise _cannot_write(place, error) from error
        return temporary


def _link(existing: Path, place: Path) -> None:
    """Give a file another name. If the name is taken, it is replaced."""
    try:
        os.link(existing, place)
    except FileExistsError:
        place.unlink(missing_ok=True)
        with suppress(FileExistsError):  # another process created it first
            os.link(existing, place)


def _cannot_write(place: Path, error: OSError) -> StorageError:
    return StorageError(
        f"Cannot write {str(place)!r} ({error.strerror}): check the folder's permissions and free "
        "space, or set CVAT_FLOWS_STORAGE to another folder."
    )


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power failure, if the system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
