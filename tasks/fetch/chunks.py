"""Download a chunk of a task, check it, and read its files.

A small chunk is kept in memory. A large one is kept in an unnamed temporary file, which the system
deletes when the process ends, even if it is killed.
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
from cvat_flows.tasks.cvat.http import get
from cvat_flows.tasks.cvat.retry import Wait
from cvat_flows.tasks.fetch.video import VideoChunk
from cvat_flows.tasks.model.media import TaskMedia

MAX_CHUNK_IN_MEMORY = 32 << 20
"""Bytes."""
MAX_CHUNK_DOWNLOADS = 3
"""Downloads of a chunk that arrives damaged."""
_BUILD_FAILURES = frozenset({500, 502, 503, 504})
"""One unreadable image makes CVAT answer 500 for the whole chunk, and a gateway times out if a
chunk takes too long to build. Single frames may still be available."""


class ImageChunk:
    """Image files of a chunk by their index in the chunk. Reading is thread-safe.

    Args:
        file: The ZIP archive. `close` closes it.
        updated: CVAT's date of the chunk's content.
    """

    def __init__(self, file: BinaryIO, updated: str | None = None) -> None:
        self.updated = updated
        self._file = file
        self._archive = zipfile.ZipFile(file)
        self._members = self._archive.infolist()

    def read(self, index: int) -> bytes | None:
        """Return the file's bytes, or None if it is missing or its checksum is wrong."""
        try:
            return self._archive.read(self._members[index])
        except (IndexError, EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error):
            return None

    def close(self) -> None:
        self._archive.close()
        self._file.close()


class UnusableChunk:
    """Stands for a chunk that cannot be downloaded. Its frames are downloaded one by one."""

    updated: str | None = None

    def close(self) -> None:
        pass


Chunk = ImageChunk | VideoChunk | UnusableChunk


def download_chunk(client: Client, media: TaskMedia, number: int, *, wait: Wait) -> Chunk:
    """Download a whole chunk in original quality and check it.

    A chunk that arrives damaged is downloaded again. If that does not help, or CVAT fails to build
    the chunk, an UnusableChunk is returned. Raises CvatRefused and CvatUnavailable.
    """
    for _ in range(MAX_CHUNK_DOWNLOADS):
        try:
            file, headers = _download(client, media, number, wait)
        except CvatUnavailable as error:
            if getattr(error.__cause__, "status", None) not in _BUILD_FAILURES:
                raise
            return UnusableChunk()
        if _is_intact(file, headers):
            updated = headers.get("X-Updated-Date")
            try:
                is_video = media.chunk_type == "video"
                return VideoChunk(file, updated) if is_video else ImageChunk(file, updated)
            # A damaged directory can also name an unknown ZIP version, or be undecodable text.
            except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
                pass
        file.close()
    return UnusableChunk()


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
            # A body in one piece costs half as much as a file in memory that grows.
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
    """Compare with CVAT's checksum of the length and the first 1000 bytes."""
    expected = headers.get("X-Checksum")
    length = file.seek(0, 2)
    file.seek(0)
    if not expected:
        return length > 0
    seed = zlib.crc32(str(length).encode())
    return expected == str(zlib.crc32(file.read(1000), seed))
