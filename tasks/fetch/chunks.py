"""Download a chunk of a task, check it, and read its members.

A chunk is kept in memory while it is small and otherwise in an unnamed temporary file, which the
system takes back when the process ends, however it ends.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, BinaryIO, cast

from cvat_sdk import Client

from cvat_flows.tasks.cvat.errors import CvatUnavailable
from cvat_flows.tasks.cvat.http import Wait, get
from cvat_flows.tasks.fetch.images import VideoChunk
from cvat_flows.tasks.model.media import TaskMedia

MAX_CHUNK_IN_MEMORY = 32 << 20
DOWNLOADS_OF_A_BROKEN_CHUNK = 3
_FAILS_TO_BUILD = frozenset({500, 502, 503, 504})
"""One unreadable image makes the whole chunk a 500; one that takes too long to build, a gateway's
time-out. Single frames may still be had; if not, they say so themselves."""


class ImageChunk:
    """Image files of a chunk by their index in it. Reads from several threads are safe."""

    def __init__(self, file: BinaryIO, updated: str | None = None) -> None:
        self.updated = updated
        """The server's date of the chunk's content."""
        self._file = file
        self._archive = zipfile.ZipFile(file)
        self._members = self._archive.infolist()

    def read(self, index: int) -> bytes | None:
        """The file's bytes; None if it is missing or its checksum in the archive is wrong."""
        try:
            return self._archive.read(self._members[index])
        except (IndexError, EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error):
            return None

    def close(self) -> None:
        self._archive.close()
        self._file.close()


class OpenVideoChunk(VideoChunk):
    """A video chunk that owns its file."""

    def __init__(self, file: BinaryIO, updated: str | None = None) -> None:
        super().__init__(file)
        self.updated = updated
        self._owned = file

    def close(self) -> None:
        super().close()
        self._owned.close()


class UnusableChunk:
    """What stands for a chunk that cannot be had: its frames are fetched one by one."""

    updated: str | None = None

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def close(self) -> None:
        pass


Chunk = ImageChunk | OpenVideoChunk | UnusableChunk


def download_chunk(client: Client, media: TaskMedia, number: int, *, wait: Wait) -> Chunk:
    """Download a whole chunk in original quality and check it.

    A chunk that arrives damaged is downloaded again; if that does not help, or CVAT fails to
    build it, it comes back as UnusableChunk. Raises CvatRefused and CvatUnavailable.
    """
    reason = ""
    for _ in range(DOWNLOADS_OF_A_BROKEN_CHUNK):
        try:
            file, headers = _download(client, media, number, wait)
        except CvatUnavailable as error:
            if getattr(error.__cause__, "status", None) not in _FAILS_TO_BUILD:
                raise
            return UnusableChunk(str(error))
        try:
            if not _is_intact(file, headers):
                reason = "its checksum is wrong"
            elif media.chunk_type == "video":
                return OpenVideoChunk(file, headers.get("X-Updated-Date"))
            else:
                return ImageChunk(file, headers.get("X-Updated-Date"))
        # A damaged directory may also ask for a version of ZIP that there is not, or for letters.
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            reason = f"it is no ZIP archive ({error})"
        file.close()
    return UnusableChunk(f"chunk {number} of task {media.task_id}: {reason}")


def _download(
    client: Client, media: TaskMedia, number: int, wait: Wait
) -> tuple[BinaryIO, Mapping[str, str]]:
    file = cast(BinaryIO, tempfile.SpooledTemporaryFile(MAX_CHUNK_IN_MEMORY))  # noqa: SIM115
    try:
        answer = get(
            client,
            f"/api/tasks/{media.task_id}/data",
            subject=f"chunk {number} of task {media.task_id}",
            sink=file,
            # A whole body is half as expensive as a file in memory that grows.
            min_sink_size=MAX_CHUNK_IN_MEMORY,
            wait=wait,
            type="chunk",
            number=number,
            quality="original",
        )
    except BaseException:
        file.close()
        raise
    if answer.in_sink:
        return file, answer.headers
    file.close()
    return io.BytesIO(answer.body), answer.headers


def _is_intact(file: IO[bytes], headers: Mapping[str, str]) -> bool:
    """Compare with CVAT's checksum, which covers length and first 1000 bytes (CVAT_FACTS 4)."""
    expected = headers.get("X-Checksum")
    length = file.seek(0, 2)
    file.seek(0)
    if not expected:
        return length > 0
    seed = zlib.crc32(str(length).encode())
    return expected == str(zlib.crc32(file.read(1000), seed))
