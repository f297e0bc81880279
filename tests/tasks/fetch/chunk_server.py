"""A server of chunks and frames, some of which are damaged as a test wants."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import PIL.Image
from cvat_sdk import Client

from cvat_flows.tasks.model.media import TaskMedia
from tests.tasks.cvat.client.scripted_server import Reply, ScriptedServer, reply
from tests.tasks.fetch.media_factory import make_media


def png(number: int) -> bytes:
    """An image whose width, 40 + number, identifies it."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (40 + number, 30), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def archive(files: list[bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        for index, content in enumerate(files):
            members.writestr(f"{index:06d}.png", content)
    return file.getvalue()


def checksum(body: bytes) -> str:
    return str(zlib.crc32(body[:1000], zlib.crc32(str(len(body)).encode())))


class ChunkServer(ScriptedServer):
    """Serves `files` as CVAT does, `chunk_size` in a chunk.

    The replies in `chunk_reply[number]` and `frame_reply[number]` are used up before the right
    ones.
    """

    def __init__(self, files: list[bytes], *, chunk_size: int = 4) -> None:
        super().__init__()
        self.files = files
        sizes = [PIL.Image.open(io.BytesIO(file)).size for file in files]
        self.media: TaskMedia = make_media(len(files), chunk_size=chunk_size, sizes=sizes)
        self.chunk_reply: dict[int, list[Reply]] = {}
        self.frame_reply: dict[int, list[Reply]] = {}
        self.updated = self.media.chunks_updated_date
        self.asked: Counter[tuple[str, int]] = Counter()
        self.before_chunk: Callable[[int], None] = lambda number: None

    @property
    def client(self) -> Client:
        return Client(self.url, check_server_version=False)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        assert url.path == f"/api/tasks/{self.media.task_id}/data"
        assert query["quality"] == "original"
        number = int(query["number"])
        self.asked[query["type"], number] += 1
        if query["type"] == "chunk":
            self.before_chunk(number)
            prepared, right = self.chunk_reply, self.chunk
        else:
            prepared, right = self.frame_reply, self.frame
        (prepared[number].pop(0) if prepared.get(number) else right(number))(handler)

    def chunk(self, number: int) -> Reply:
        size = self.media.chunk_size
        return self.chunk_of(archive(self.files[number * size : (number + 1) * size]))

    def chunk_of(self, body: bytes, **headers: Any) -> Reply:
        known = {"X_Checksum": checksum(body), "X_Updated_Date": self.updated}
        return reply(200, body, **(known | headers))

    def frame(self, number: int) -> Reply:
        return reply(200, self.files[number])
