"""Download a chunk of a task, check it, and read its files.

A small chunk is kept in memory. A large one is kept in an unnamed temporary file, which the system
deletes when the process ends, even if it is killed.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import IO, BinaryIO, cast

from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.http import get
from cvat_flows.tasks.cvat.client.retry import Wait
from cvat_flows.tasks.fetch.video import VideoChunk
from cvat_flows.tasks.model.media import TaskMedia

MAX_CHUNK_IN_MEMORY = 32 << 20
"""Bytes."""
MAX_CHUNK_DOWNLOADS = 3
"""Downloads of a chunk that arrives damaged."""
MAX_BYTES_PER_PIXEL = 8
"""Of an image file that the chunk compresses once more. Four channels of 16 bits take that much."""
MAX_METADATA_SIZE = 1 << 20
"""Bytes of such a file that are not pixels."""
_BUILD_FAILURES = frozenset({500, 502, 503, 504})
"""One unreadable image makes CVAT answer 500 for the whole chunk, and a gateway times out if a
chunk takes too long to build. Single frames may still be available."""


class ImageChunk:
    """Image files of a chunk by their index in the chunk. Reading is thread-safe.

    Args:
        file: The ZIP archive. `close` closes it.
        updated: CVAT's date of the chunk's content.
        sizes: Width and height in pixels of each image that the chunk must have.

    Raises:
        zipfile.BadZipFile: if the archive is damaged or does not have exactly these images.
    """

    def __init__(
        self, file: BinaryIO, updated: str | None = None, *, sizes: Sequence[tuple[int, int]]
    ) -> None:
        self.updated = updated
        self._file = file
        self._sizes = sizes
        self._length = file.seek(0, 2)
        self._archive = zipfile.ZipFile(file)
        self._members = self._archive.infolist()
        _check_members(self._members, len(sizes))

    def read(self, index: int) -> bytes | None:
        """Return the file's bytes, or None if its checksum is wrong or it is too large."""
        member = self._members[index]
        if member.file_size > self._max_size(index):
            return None
        try:
            # A size limits how much is unpacked, even if the directory states a wrong one.
            with self._archive.open(member) as file:
                return file.read(member.file_size)
        # RuntimeError, NotImplementedError: kinds of encryption and compression.
        except (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error):
            return None

    def _max_size(self, index: int) -> int:
        if self._members[index].compress_type == zipfile.ZIP_STORED:  # as CVAT does it
            return self._length
        width, height = self._sizes[index]
        return MAX_BYTES_PER_PIXEL * width * height + MAX_METADATA_SIZE

    def close(self) -> None:
        self._archive.close()
        self._file.close()


def _check_members(members: Sequence[zipfile.ZipInfo], count: int) -> None:
    """Check that the files of an archive can be the chunk's images. Raises BadZipFile.

    Images are found by their position, so a missing or additional file would shift the others.
    """
    names = [member.filename for member in members]
    if len(names) != count:
        raise zipfile.BadZipFile(f"{len(names)} files for {count} images")
    if names != sorted(set(names)) or any("/" in name or "\\" in name for name in names):
        raise zipfile.BadZipFile("names are not unique, not in order, or in folders")
    for member in members:
        is_encrypted = member.flag_bits & 1
        if is_encrypted or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile("encrypted, or compressed in an unknown way")


class UnusableChunk:
    """Stands for a chunk that cannot be downloaded. Its frames are downloaded one by one."""

    updated: str | None = None

    def close(self) -> None:
        pass


Chunk = ImageChunk | VideoChunk | UnusableChunk


def download_chunk(client: Client, media: TaskMedia, number: int, *, wait: Wait) -> Chunk:
    """Download a whole chunk in original quality and check it.

    A chunk that arrives damaged is downloaded again. If that does not help, or CVAT fails to build
    the chunk, an UnusableChunk is returned. Damage of a video is found only when it is decoded; see
    VideoChunk. Raises CvatRefused and CvatUnavailable.
    """
    sizes = [media.size_of(frame) for frame in media.chunk_frames(number)]
    downloads = _Downloads(client, media, number, wait)
    while (download := downloads.next_intact()) is not None:
        file, updated = download
        if media.chunk_type == "video":
            again = partial(_same_content, downloads, updated)
            accepted = media.image_sizes(media.frame(media.chunk_frames(number)[0]))
            return VideoChunk(file, updated, count=len(sizes), sizes=accepted, download_again=again)
        try:
            return ImageChunk(file, updated, sizes=sizes)
        # A damaged directory can also name an unknown ZIP version, or be undecodable text.
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
            file.close()
    return UnusableChunk()


class _Downloads:
    """Downloads a chunk up to MAX_CHUNK_DOWNLOADS times."""

    def __init__(self, client: Client, media: TaskMedia, number: int, wait: Wait) -> None:
        self._arguments = (client, media, number, wait)
        self._left = MAX_CHUNK_DOWNLOADS

    def next_intact(self) -> tuple[BinaryIO, str | None] | None:
        """Return the next file whose checksum is right, and its date; None if there is none."""
        while self._left > 0:
            self._left -= 1
            try:
                file, headers = _download(*self._arguments)
            except CvatUnavailable as error:
                if getattr(error.__cause__, "status", None) not in _BUILD_FAILURES:
                    raise
                return None
            if _is_intact(file, headers):
                return file, headers.get("X-Updated-Date")
            file.close()
        return None


def _same_content(downloads: _Downloads, updated: str | None) -> BinaryIO | None:
    """Download once more. None if that fails, or if the content in CVAT has changed meanwhile."""
    download = downloads.next_intact()
    if download is None:
        return None
    file, found = download
    if found == updated:
        return file
    file.close()
    return None


def _download(
    client: Client, media: TaskMedia, number: int, wait: Wait
) -> tuple[BinaryIO, Mapping[str, str]]:
    file = cast(BinaryIO, tempfile.SpooledTemporaryFile(MAX_CHUNK_IN_MEMORY))  # noqa: SIM115
    try:
        answer = get(
            client,
            media.data_path,
            subject=f"chunk {number} of task {media.task_id}",
            sink=file,
            # A body in one piece costs half as much as a file in memory that grows.
            min_sink_size=MAX_CHUNK_IN_MEMORY,
            wait=wait,
            type="chunk",
            quality="original",
            **media.chunk_query(number),
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
