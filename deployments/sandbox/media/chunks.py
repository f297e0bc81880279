"""Read the frames and chunks of a task."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cvat_flows.deployments.sandbox.faults import Faults
from cvat_flows.deployments.sandbox.media import pictures
from cvat_flows.deployments.sandbox.store import Row


class ChunkReader:
    """Reads a task's frames and chunks in one quality, with the fault rules applied."""

    def __init__(self, data: Row, folder: Path, faults: Faults, quality: str) -> None:
        """Read from `folder`; `quality` is `original` or `compressed`."""
        self._data, self._folder, self._faults, self._quality = data, folder, faults, quality
        self.is_video = data[f"_{quality}_type"] == "video"

    def chunk(self, frames: Sequence[int]) -> bytes:
        """Return these frames as one chunk. A chunk of the task is returned as stored."""
        number, task = frames[0] // self._data["chunk_size"], self._data["id"]
        is_stored = frames == chunk_frames(self._data, number)
        if is_stored and not self._faults.corrupt_any(task, frames):
            return self._file(number).read_bytes()
        if not self.is_video:
            return pictures.pack_chunk(self.pictures(frames))
        with tempfile.TemporaryDirectory() as folder:
            images = [Image.open(io.BytesIO(content)) for _, content in self.pictures(frames)]
            pictures.write_video(images, Path(folder) / "chunk.mp4")
            return (Path(folder) / "chunk.mp4").read_bytes()

    def pictures(self, frames: Sequence[int]) -> list[tuple[str, bytes]]:
        """Return name and content of ascending frames; PNGs if the chunks are videos."""
        size, found = self._data["chunk_size"], []
        for number in sorted({frame // size for frame in frames}):
            places = [frame % size for frame in frames if frame // size == number]
            found += pictures.read_chunk(self._file(number), places)
        return [
            (self._name(frame), self._faults.apply_to_picture(self._data["id"], frame, content))
            for frame, content in zip(frames, found, strict=True)
        ]

    def _name(self, frame: int) -> str:
        if self.is_video:
            return "frame.png"
        return self._data["_frames"][frame][0] if self._quality == "original" else "frame.jpeg"

    def _file(self, number: int) -> Path:
        """Return the file of a chunk. Compressed chunks are created on first use."""
        suffix = "mp4" if self._data["_original_type"] == "video" else "zip"
        original = self._folder / "original" / f"{number}.{suffix}"
        if self._quality == "original" or self.is_video:
            return original
        path = self._folder / "compressed" / f"{number}.zip"
        if not path.exists():
            places = range(len(chunk_frames(self._data, number)))
            compressed = []
            for content in pictures.read_chunk(original, places):
                with Image.open(io.BytesIO(content)) as image:
                    jpeg = pictures.encode(image, quality=self._data["image_quality"])
                    compressed.append(("frame.jpeg", jpeg))
            path.parent.mkdir(exist_ok=True)
            # Other threads must not read an incomplete file.
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(pictures.pack_chunk(compressed))
            Path(file.name).rename(path)
        return path


def chunk_frames(data: Row, number: int) -> list[int]:
    """Return the frames of a task's chunk; an empty list if there is no such chunk."""
    size = data["chunk_size"] or 1
    return list(range(max(number, 0) * size, min((number + 1) * size, data["size"])))
