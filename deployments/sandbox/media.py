"""Pictures and what is known about them: frames, chunks, previews, data meta."""

from __future__ import annotations

import io
import mimetypes
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.responses import Response

from cvat_flows.deployments.sandbox import pictures
from cvat_flows.deployments.sandbox.resources import numbers
from cvat_flows.deployments.sandbox.store import Row
from cvat_flows.deployments.sandbox.web import Call, Refusal, route

PLACEHOLDER = ("placeholder.jpg", pictures.encoded(Image.new("RGB", (1, 1))))
NO_DATA = (500, "this task has no data")


class Media:
    """The data of the task or job that a call is about."""

    def __init__(self, call: Call, no_data: tuple[int, Any] = NO_DATA) -> None:
        self.task, self.job, data = call.subject()
        if data is None:
            raise Refusal(*no_data)
        self.data, self._faults = data, call.sandbox.faults
        self._folder = call.store.media_folder(data["id"])
        self.scope = range(data["size"]) if self.job is None else numbers(self.job)
        """The frames that may be asked for."""
        self.quality = "compressed"

    def in_chunk(self, number: int) -> list[int]:
        """The frames of a chunk of the task; none if there is no such chunk."""
        size = self.data["chunk_size"] or 1
        return list(range(max(number, 0) * size, min((number + 1) * size, self.data["size"])))

    @property
    def is_clip(self) -> bool:
        return bool(self.data[f"_{self.quality}_type"] == "video")

    def chunk(self, frames: Sequence[int]) -> bytes:
        """Frames as one chunk. A whole chunk of the task is the file as it lies."""
        number, task = frames[0] // self.data["chunk_size"], self.data["id"]
        if frames == self.in_chunk(number) and not self._faults.corrupts(task, frames):
            return self._file(number).read_bytes()
        if not self.is_clip:
            return pictures.packed(self.pictures(frames))
        with tempfile.TemporaryDirectory() as folder:
            images = [Image.open(io.BytesIO(content)) for _, content in self.pictures(frames)]
            pictures.write_clip(images, Path(folder) / "clip.mp4")
            return (Path(folder) / "clip.mp4").read_bytes()

    def pictures(self, frames: Sequence[int]) -> list[tuple[str, bytes]]:
        """Name and content of each frame, ascending; from a clip as PNG."""
        size, found = self.data["chunk_size"], []
        for number in sorted({frame // size for frame in frames}):
            places = [frame % size for frame in frames if frame // size == number]
            found += pictures.members(self._file(number), places)
        suffix = "png" if self.is_clip else "jpeg"
        original = self.quality == "original" and not self.is_clip
        return [
            (
                self.data["_frames"][frame][0] if original else f"frame.{suffix}",
                self._faults.corrupted(self.data["id"], frame, content),
            )
            for frame, content in zip(frames, found, strict=True)
        ]

    def _file(self, number: int) -> Path:
        """The file of a chunk; a compressed one is made when it is first asked for."""
        suffix = "mp4" if self.data["_original_type"] == "video" else "zip"
        original = self._folder / "original" / f"{number}.{suffix}"
        path = self._folder / "compressed" / f"{number}.zip"
        if self.quality == "original" or self.is_clip:
            return original
        if not path.exists():
            made = []
            for content in pictures.members(original, range(len(self.in_chunk(number)))):
                with Image.open(io.BytesIO(content)) as image:
                    made.append(pictures.encoded(image, quality=self.data["image_quality"]))
            path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(pictures.packed([("frame.jpeg", content) for content in made]))
            Path(file.name).rename(path)  # complete or not there
        return path


@route("GET", "/api/{kind}/{id:int}/data")
def read_data(call: Call) -> Response:
    media, query = Media(call), call.query
    try:
        number, index = (int(query[n]) if n in query else None for n in ("number", "index"))
    except ValueError:
        status = 500 if call.sandbox.quirks else 400
        raise Refusal(status, ["number and index should be numbers"]) from None
    media.quality = query.get("quality", "compressed")
    if query.get("type") not in ("frame", "chunk"):
        raise Refusal(400, ["Data type not specified or has wrong value"])
    if media.quality not in ("original", "compressed"):
        raise Refusal(400, [f"Wrong quality value {media.quality}"])
    if query["type"] == "chunk" and media.job is not None:
        if number is not None and index is not None:
            raise Refusal(400, ["Number and Index cannot be used together"])
        if number is None and index is None:
            raise Refusal(400, ["Number or Index is not specified"])
        return _job_chunk(media, media.job, number, index)
    if number is None:
        raise Refusal(400, ["Number is not specified"])
    if query["type"] == "chunk":
        if not (frames := media.in_chunk(number)):
            raise Refusal(400, [f"Invalid chunk number '{number}'."])
        return _sent(media, media.chunk(frames))
    if number not in media.scope:
        wrong = f"Incorrect requested frame number: {number}"
        raise Refusal(400, [f"Invalid frame '{number}'."] if media.job is None else wrong)
    [(name, content)] = media.pictures([number])
    return Response(content, media_type=mimetypes.guess_type(name)[0])


def _job_chunk(media: Media, job: Row, number: int | None, index: int | None) -> Response:
    """By index, chunks are counted in the job; by number, they are the task's, cut to the job."""
    size = media.data["chunk_size"]
    if index is not None:
        frames = list(media.scope[index * size : (index + 1) * size]) if index >= 0 else []
    else:
        span = range(job["start_frame"], job["stop_frame"] + 1)
        frames = [frame for frame in media.in_chunk(number or 0) if frame in span]
    if not frames or (number or 0) < 0:
        raise Refusal(400, [f"Invalid chunk number '{number if index is None else index}'."])
    if index is None and job["_frames"] is not None:  # the ones left out are 1x1 pictures
        kept = [frame for frame in frames if frame in job["_frames"]]
        there = dict(zip(kept, media.pictures(kept), strict=True))
        return _sent(media, pictures.packed([there.get(n, PLACEHOLDER) for n in frames]))
    return _sent(media, media.chunk(frames))


def _sent(media: Media, body: bytes) -> Response:
    headers = {
        # Covers the length and the beginning only, as CVAT's does.
        "X-Checksum": str(zlib.crc32(body[:1000], zlib.crc32(str(len(body)).encode()))),
        "X-Updated-Date": media.data["chunks_updated_date"],
    }
    kind = "video/mp4" if media.is_clip else "application/zip"
    return Response(body, media_type=kind, headers=headers)


@route("GET", "/api/{kind}/{id:int}/preview")
def read_preview(call: Call) -> Response:
    none = (404, {"detail": "Image not found"})
    media = Media(call, none)
    if not media.data["size"]:
        raise Refusal(*none)
    [(_, content)] = media.pictures(media.scope[:1])
    with Image.open(io.BytesIO(content)) as image:
        image.thumbnail((256, 256))
        return Response(pictures.encoded(image), media_type="image/jpeg")


@route("GET PATCH", "/api/{kind}/{id:int}/data/meta")
def meta(call: Call) -> Row:
    media = Media(call)
    data, job, scope = media.data, media.job, set(media.scope)
    if call.request.method == "PATCH" and "deleted_frames" in call.fields():
        frames = set(call.fields()["deleted_frames"])
        if unknown := ", ".join(map(str, sorted(frames - scope))):
            text = f"Unknown frames {unknown} requested for removal"
            raise Refusal(400, {"deleted_frames": [text]})
        data["deleted_frames"] = sorted(set(data["deleted_frames"]) - scope | frames)
        call.store.save("data", data)
        call.changed("task", media.task)
    shown = {name: value for name, value in data.items() if not name.startswith("_")}
    listed, video = data["_frames"], data["_original_type"] == "video"
    if job is not None:
        first, last = job["start_frame"], job["stop_frame"]
        step = int(data["frame_filter"].partition("=")[2] or 1)
        listed = listed if video else listed[first : last + 1]
        if job["_frames"] is not None:
            empty = [(PLACEHOLDER[0], *frame[1:]) for frame in listed]
            listed = [listed[n] if first + n in scope else empty[n] for n in range(len(listed))]
        shown |= {
            "size": len(scope),
            "start_frame": data["start_frame"] + first * step,
            "stop_frame": data["start_frame"] + last * step,
            "deleted_frames": [frame for frame in data["deleted_frames"] if frame in scope],
        }
    named = [dict(zip(("name", "width", "height"), frame, strict=True)) for frame in listed]
    none = {"related_files": 0, "has_related_context": False}
    included = job and job["_frames"]
    return {**shown, "frames": [{**f, **none} for f in named], "included_frames": included}
