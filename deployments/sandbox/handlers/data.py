"""Download frames, chunks, previews and the meta data of a task's or job's data."""

from __future__ import annotations

import io
import mimetypes
import zlib
from collections.abc import Sequence

from PIL import Image
from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import Refusal
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.media import pictures
from cvat_flows.deployments.sandbox.media.chunks import ChunkReader, chunk_frames
from cvat_flows.deployments.sandbox.resources import frame_numbers
from cvat_flows.deployments.sandbox.store import Row

PLACEHOLDER = ("placeholder.jpg", pictures.encode(Image.new("RGB", (1, 1))))

router = Router()


class Target:
    """The data that a call asks for, and the frames of them that it may ask for."""

    def __init__(self, call: Call) -> None:
        self.task, self.job, data = call.find_target()
        if data is None:
            raise Refusal(500, "this task has no data")
        self.data, self._call = data, call
        self.scope = range(data["size"]) if self.job is None else frame_numbers(self.job)

    def reader(self, quality: str) -> ChunkReader:
        folder = self._call.store.media_folder(self.data["id"])
        return ChunkReader(self.data, folder, self._call.sandbox.faults, quality)


@router.route("GET", "/api/{kind}/{id:int}/data")
def read_data(call: Call) -> Response:
    target, query = Target(call), call.query
    try:
        number, index = (int(query[n]) if n in query else None for n in ("number", "index"))
    except ValueError:
        status = 500 if call.sandbox.quirks else 400
        raise Refusal(status, ["number and index should be numbers"]) from None
    quality = query.get("quality", "compressed")
    if query.get("type") not in ("frame", "chunk"):
        raise Refusal(400, ["Data type not specified or has wrong value"])
    if quality not in ("original", "compressed"):
        raise Refusal(400, [f"Wrong quality value {quality}"])
    reader = target.reader(quality)
    if query["type"] == "chunk" and target.job is not None:
        if number is not None and index is not None:
            raise Refusal(400, ["Number and Index cannot be used together"])
        if number is None and index is None:
            raise Refusal(400, ["Number or Index is not specified"])
        return _job_chunk(target, reader, target.job, number, index)
    if number is None:
        raise Refusal(400, ["Number is not specified"])
    if query["type"] == "chunk":
        frames = chunk_frames(target.data, number)
        if not frames:
            raise Refusal(400, [f"Invalid chunk number '{number}'."])
        return _send_chunk(target, reader, reader.chunk(frames))
    if number not in target.scope:
        wrong = f"Incorrect requested frame number: {number}"
        raise Refusal(400, [f"Invalid frame '{number}'."] if target.job is None else wrong)
    [(name, content)] = reader.pictures([number])
    return Response(content, media_type=mimetypes.guess_type(name)[0])


def _job_chunk(
    target: Target, reader: ChunkReader, job: Row, number: int | None, index: int | None
) -> Response:
    """Answer with a chunk of a job.

    `index` counts chunks from the job's first frame. `number` means the task's chunk, of which the
    job's frames are returned.
    """
    size = target.data["chunk_size"]
    if index is not None:
        frames = list(target.scope[index * size : (index + 1) * size]) if index >= 0 else []
    else:
        span = range(job["start_frame"], job["stop_frame"] + 1)
        frames = [frame for frame in chunk_frames(target.data, number or 0) if frame in span]
    if not frames or (number or 0) < 0:
        raise Refusal(400, [f"Invalid chunk number '{number if index is None else index}'."])
    if index is None and job["_frames"] is not None:
        body = _with_placeholders(reader, frames, job["_frames"])
    else:
        body = reader.chunk(frames)
    return _send_chunk(target, reader, body)


def _with_placeholders(reader: ChunkReader, frames: Sequence[int], included: list[int]) -> bytes:
    """Return a chunk in which frames outside the ground-truth job are 1x1 pictures."""
    kept = [frame for frame in frames if frame in included]
    contents = dict(zip(kept, reader.pictures(kept), strict=True))
    return pictures.pack_chunk([contents.get(frame, PLACEHOLDER) for frame in frames])


def _send_chunk(target: Target, reader: ChunkReader, body: bytes) -> Response:
    headers = {
        # As in CVAT, this covers only the length and the first 1000 bytes.
        "X-Checksum": str(zlib.crc32(body[:1000], zlib.crc32(str(len(body)).encode()))),
        "X-Updated-Date": target.data["chunks_updated_date"],
    }
    media_type = "video/mp4" if reader.is_video else "application/zip"
    return Response(body, media_type=media_type, headers=headers)


@router.route("GET", "/api/{kind}/{id:int}/preview")
def read_preview(call: Call) -> Response:
    _, _, data = call.find_target()
    if data is None or not data["size"]:
        raise Refusal(404, {"detail": "Image not found"})
    target = Target(call)
    [(_, content)] = target.reader("compressed").pictures(target.scope[:1])
    with Image.open(io.BytesIO(content)) as image:
        image.thumbnail((256, 256))
        return Response(pictures.encode(image), media_type="image/jpeg")


@router.route("GET", "/api/{kind}/{id:int}/data/meta")
def read_meta(call: Call) -> Row:
    return _meta(Target(call))


@router.route("PATCH", "/api/{kind}/{id:int}/data/meta")
def update_meta(call: Call) -> Row:
    target, fields = Target(call), call.fields()
    data, scope = target.data, set(target.scope)
    if "deleted_frames" in fields:
        frames = set(fields["deleted_frames"])
        if unknown := ", ".join(map(str, sorted(frames - scope))):
            text = f"Unknown frames {unknown} requested for removal"
            raise Refusal(400, {"deleted_frames": [text]})
        data["deleted_frames"] = sorted(set(data["deleted_frames"]) - scope | frames)
        call.store.save("data", data)
        call.record_update("task", target.task)
    return _meta(target)


def _meta(target: Target) -> Row:
    data, job, scope = target.data, target.job, set(target.scope)
    shown = {name: value for name, value in data.items() if not name.startswith("_")}
    frames, included = data["_frames"], None
    if job is not None:
        first, last, included = job["start_frame"], job["stop_frame"], job["_frames"]
        step = int(data["frame_filter"].partition("=")[2] or 1)
        if data["_original_type"] != "video":
            frames = frames[first : last + 1]
        if included is not None:
            frames = [
                frame if first + n in scope else (PLACEHOLDER[0], *frame[1:])
                for n, frame in enumerate(frames)
            ]
        shown |= {
            "size": len(scope),
            "start_frame": data["start_frame"] + first * step,
            "stop_frame": data["start_frame"] + last * step,
            "deleted_frames": [frame for frame in data["deleted_frames"] if frame in scope],
        }
    named = [dict(zip(("name", "width", "height"), frame, strict=True)) for frame in frames]
    related = {"related_files": 0, "has_related_context": False}
    return {**shown, "frames": [{**f, **related} for f in named], "included_frames": included}
