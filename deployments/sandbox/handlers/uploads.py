"""Upload a task's data, in one request, in three steps or by TUS, and follow its import."""

from __future__ import annotations

import base64
import re
import uuid
from email.message import Message
from pathlib import Path, PurePath
from typing import Any

import orjson
from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import Refusal, answer, permission_denied
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.listing import list_page
from cvat_flows.deployments.sandbox.store import Row

router = Router()


@router.route("POST", "/api/tasks/{id:int}/data")
def upload(call: Call) -> Response:
    store, task = call.store, call.find("task")
    data, folder = store.get("data", task["id"]), store.media_folder(task["id"])
    if "upload-length" in call.headers:
        return _create_tus_upload(call, folder)
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
    options, files = ({}, []) if "upload-start" in call.headers else _read_body(call)
    paths = _target_paths(folder, [name for name, _ in files])
    for path, (_, content) in zip(paths, files, strict=True):
        path.write_bytes(content)
    if {"upload-start", "upload-multiple"} & set(call.headers):
        return answer({}, 202 if "upload-start" in call.headers else 200)
    for old in store.children("request", task_id=task["id"]):
        store.delete("request", old)
    request = store.add(
        "request", task_id=task["id"], owner=call.user["id"], status="queued", message="",
        started_date=None, finished_date=None, _options=options,
        _rq_id=f"action=create&target=task&target_id={task['id']}",
    )  # fmt: skip
    call.sandbox.importer.submit(request["id"])
    return answer({"rq_id": request["_rq_id"]}, 202)


def _target_paths(folder: Path, names: list[str]) -> list[Path]:
    """Return where to store uploaded files: under their order of arrival and their base names."""
    folder, names = folder / "uploaded", [PurePath(n.replace("\\", "/")).name for n in names]
    folder.mkdir(parents=True, exist_ok=True)
    stored = {path.name.split("-", 1)[1] for path in folder.iterdir()}
    if repeated := stored.intersection(names) or len(set(names)) < len(names):
        raise Refusal(500, f"a file has been uploaded already: {repeated}")
    return [folder / f"{place:06d}-{name}" for place, name in enumerate(names, len(stored))]


def _read_body(call: Call) -> tuple[Row, list[tuple[str, bytes]]]:
    """Return the options and files of a JSON or multipart body."""
    content_type = Message()
    content_type["content-type"] = call.headers.get("content-type", "application/json")
    if content_type.get_content_type() != "multipart/form-data":
        return call.fields(), []
    options: Row = {}
    files = []
    boundary = str(content_type.get_param("boundary")).encode()
    for part in (b"\r\n" + call.body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        names = dict(re.findall(r'\b(name|filename)="([^"]*)"', head.decode()))
        if "filename" in names:
            files.append((names["filename"].replace("%22", '"'), content))
        else:
            _add_form_field(options, names["name"], content.decode())
    return options, files


def _add_form_field(options: Row, name: str, text: str) -> None:
    """Add a form field: `a.b` is nested, a repeated name makes a list, JSON is decoded."""
    *outer, last = name.partition("[")[0].split(".")
    for key in outer:
        options = options.setdefault(key, {})
    value: Any = text
    if text in ("true", "false") or text.lstrip("-").isdecimal() or text[:1] in ("[", "{"):
        value = orjson.loads(text)
    old = options.get(last, [])
    repeated = last in options or "[" in name
    options[last] = [*(old if isinstance(old, list) else [old]), value] if repeated else value


def _create_tus_upload(call: Call, folder: Path) -> Response:
    if "origin" not in call.headers:
        raise Refusal(500, "no Origin header")
    pairs = (one.split(" ", 1) for one in call.headers["upload-metadata"].split(","))
    name = PurePath({k: base64.b64decode(v).decode() for k, v in pairs}["filename"]).name
    file_id, length = uuid.uuid4().hex, int(call.headers["upload-length"])
    (folder / "pieces").mkdir(parents=True, exist_ok=True)
    (folder / "pieces" / f"{file_id}-{length}-{name}").touch()
    location = f"{call.base}/api/tasks/{call.path_values['id']}/data/{file_id}"
    return answer({}, 201, {"Location": location, "Upload-Filename": name})


@router.route("HEAD PATCH", "/api/tasks/{id:int}/data/{file}")
def append_to_tus_upload(call: Call) -> Response:
    folder = call.store.media_folder(call.find("task")["id"])
    path = next((folder / "pieces").glob(f"{call.path_values['file']}-*"), None)
    if path is None:
        raise Refusal(404, {"detail": "Not found."})
    offset, status = path.stat().st_size, 200
    if call.method == "PATCH":
        status = 204 if int(call.headers["upload-offset"]) == offset else 409
    if status == 204:
        with path.open("ab") as file:
            file.write(call.body)
        offset += len(call.body)
        _, length, name = path.name.split("-", 2)
        if offset == int(length):
            path.rename(_target_paths(folder, [name])[0])
    return Response(status_code=status, headers={"Upload-Offset": str(offset)})


@router.route("GET", "/api/requests/{rq_id}")
def read_request(call: Call) -> Row:
    row = call.store.first("request", _rq_id=call.path_values["rq_id"])
    if row is None:
        raise Refusal(404, {"detail": "No request with such ID exists."})
    if not call.may_access("request", row):
        raise permission_denied()
    return call.as_json("request", row)


@router.route("GET", "/api/requests")
def list_requests(call: Call) -> Row:
    rows = call.accessible("request")
    if task_id := call.query.get("task_id"):
        rows = [row for row in rows if row["task_id"] == int(task_id)]
    return list_page(call, "request", rows)
