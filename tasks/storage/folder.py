"""Storage in a folder of this machine, or in one that several machines mount."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cvat_flows.tasks.storage.protocol import TEMPORARY, StorageError, StoredFile, parts

_ABANDONED_S = 86_400
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


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
                if name.startswith(TEMPORARY):
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
        return self.root.joinpath(*parts(path))

    def _temporary(self, place: Path, content: bytes, *, durable: bool = True) -> Path:
        """Write (and fsync) a file next to `place`, so that a rename can put it there."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = place.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
            with temporary.open("xb") as file:
                file.write(content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise _cannot_write(place, error) from error
        return temporary


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
