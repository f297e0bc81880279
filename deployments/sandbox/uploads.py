"""How data gets in: one multipart POST, three steps, or TUS pieces; and asking how it goes."""

from __future__ import annotations

import base64
import re
import uuid
from email.message import Message
from pathlib import Path, PurePath
from typing import Any

import orjson
from starlette.responses import Response

from cvat_flows.deployments.sandbox.listing import listing
from cvat_flows.deployments.sandbox.resources import may
from cvat_flows.deployments.sandbox.store import Row
from cvat_flows.deployments.sandbox.web import Call, Refusal, answer, denied, route


@route("POST", "/api/tasks/{id:int}/data")
def upload(call: Call) -> Response:
    store, task = call.store, call.find("task")
    data, folder = store.get("data", task["id"]), store.media_folder(task["id"])
    if "upload-length" in call.headers:
        return _tus_create(call, folder)
    if data is None:
        data = {
            "id": task["id"], "task_id": task["id"], "size": 0, "chunk_size": None,
            "image_quality": 70, "start_frame": 0, "stop_frame": 0, "frame_filter": "",
            "deleted_frames": [], "storage": "local", "cloud_storage_id": None, "_frames": [],
            "chunks_updated_date": store.now(), "_original_type": "imageset",
            "_compressed_type": "imageset", "_pool": [], "_honeypots": {}, "_ranges": [],
            "_frames_per_job": None,
        }  # fmt: skip
        store.save("data", data)
    if data["size"]:
        raise Refusal(400, "Adding more data is not supported")
    options, files = ({}, []) if "upload-start" in call.headers else _body(call)
    paths = _places(folder, [name for name, _ in files])
    for path, (_, content) in zip(paths, files, strict=True):
        path.write_bytes(content)
    if {"upload-start", "upload-multiple"} & set(call.headers):
        return answer({}, 202 if "upload-start" in call.headers else 200)
    for old in store.of("request", task_id=task["id"]):
        store.drop("request", old)
    request = store.add(
        "request", task_id=task["id"], owner=call.user["id"], status="queued", message="",
        started_date=None, finished_date=None, _options=options,
        _rq_id=f"action=create&target=task&target_id={task['id']}",
    )  # fmt: skip
    call.sandbox.importer.submit(request["id"])
    return answer({"rq_id": request["_rq_id"]}, 202)


def _places(folder: Path, names: list[str]) -> list[Path]:
    """Where to put uploaded files: their names there begin with their place in order of arrival."""
    folder, names = folder / "uploaded", [PurePath(n.replace("\\", "/")).name for n in names]
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name.split("-", 1)[1] for path in folder.iterdir()}
    if twice := there.intersection(names) or len(set(names)) < len(names):
        raise Refusal(500, f"a file has been uploaded already: {twice}")
    return [folder / f"{place:06d}-{name}" for place, name in enumerate(names, len(there))]


def _body(call: Call) -> tuple[Row, list[tuple[str, bytes]]]:
    """Options and files of a JSON or multipart body."""
    kind = Message()
    kind["content-type"] = call.headers.get("content-type", "application/json")
    if kind.get_content_type() != "multipart/form-data":
        return call.fields(), []
    options: Row = {}
    files = []
    boundary = str(kind.get_param("boundary")).encode()
    for part in (b"\r\n" + call.body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        names = dict(re.findall(r'\b(name|filename)="([^"]*)"', head.decode()))
        if "filename" in names:
            files.append((names["filename"].replace("%22", '"'), content))
        else:
            _put(options, names["name"], content.decode())
    return options, files


def _put(options: Row, name: str, text: str) -> None:
    """A form field: `a.b` nests, a name that is repeated makes a list, JSON is read."""
    *outer, last = name.partition("[")[0].split(".")
    for key in outer:
        options = options.setdefault(key, {})
    value: Any = text
    if text in ("true", "false") or text.lstrip("-").isdecimal() or text[:1] in ("[", "{"):
        value = orjson.loads(text)
    old = options.get(last, [])
    repeated = last in options or "[" in name
    options[last] = [*(old if isinstance(old, list) else [old]), value] if repeated else value


def _tus_create(call: Call, folder: Path) -> Response:
    if "origin" not in call.headers:
        raise Refusal(500, "no Origin header")
    pairs = (one.split(" ", 1) for one in call.headers["upload-metadata"].split(","))
    name = PurePath({k: base64.b64decode(v).decode() for k, v in pairs}["filename"]).name
    file_id, length = uuid.uuid4().hex, int(call.headers["upload-length"])
    (folder / "pieces").mkdir(parents=True, exist_ok=True)
    (folder / "pieces" / f"{file_id}-{length}-{name}").touch()
    location = f"{call.base}/api/tasks/{call.path['id']}/data/{file_id}"
    return answer({}, 201, Location=location, Upload_Filename=name)


@route("HEAD PATCH", "/api/tasks/{id:int}/data/{file}")
def tus_append(call: Call) -> Response:
    folder = call.store.media_folder(call.find("task")["id"])
    path = next((folder / "pieces").glob(f"{call.path['file']}-*"), None)
    if path is None:
        raise Refusal(404, {"detail": "Not found."})
    offset, status = path.stat().st_size, 200
    if call.request.method == "PATCH":
        status = 204 if int(call.headers["upload-offset"]) == offset else 409
    if status == 204:
        with path.open("ab") as file:
            file.write(call.body)
        offset += len(call.body)
        _, length, name = path.name.split("-", 2)
        if offset == int(length):
            path.rename(_places(folder, [name])[0])
    return Response(status_code=status, headers={"Upload-Offset": str(offset)})


@route("GET", "/api/requests/{rq_id}")
def read_request(call: Call) -> Row:
    row = call.store.first("request", _rq_id=call.path["rq_id"])
    if row is None:
        raise Refusal(404, {"detail": "No request with such ID exists."})
    if not may(call.store, call.user, "request", row):
        raise denied()
    return call.view("request", row)


@route("GET", "/api/requests")
def list_requests(call: Call) -> Row:
    task_id = call.query.get("task_id")
    rows = call.store.of("request", task_id=int(task_id)) if task_id else call.store.rows("request")
    rows = [row for row in rows if may(call.store, call.user, "request", row)]
    return listing(call, "request", rows)
