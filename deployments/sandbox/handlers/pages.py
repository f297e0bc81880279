"""Pages for a browser: the tasks, a task, and a frame with its annotations. Nobody can edit them.

They stand where CVAT's own pages are, so that every link into CVAT leads somewhere. Anybody who
reaches the sandbox can read them: its passwords are public anyway.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import orjson
from starlette.responses import RedirectResponse, Response

from cvat_flows.deployments.sandbox.annotations.overlap import without_copies
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.media.chunks import ChunkReader
from cvat_flows.deployments.sandbox.resources import frame_numbers
from cvat_flows.deployments.sandbox.store import Row
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.reports.pictures.outlines import Outline, outline_of
from cvat_flows.tasks.reports.pictures.thumbnails import assign_colours

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 72rem }
body { padding: 0 1rem }
figure { position: relative; margin: 1rem 0; display: inline-block }
figure img { display: block; max-width: 100% } figure svg { position: absolute; inset: 0 }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
nav a { margin-right: 1rem } .note { opacity: .7 }
"""
NOTE = "This is the sandbox, not CVAT: pages are for looking only."
MAX_LINKS = 200
"""Frames of a job that are linked from the page of its task."""

router = Router()


@router.route("GET", "/", public=True)
def start(call: Call) -> Response:
    return RedirectResponse("/tasks")


@router.route("GET", "/tasks", public=True)
def show_tasks(call: Call) -> Response:
    rows = [
        (_link(f"/tasks/{task['id']}", f"{task['id']} {task['name']}"), _size(call, task))
        for task in call.store.all("task")
    ]
    return _page("Tasks", _table(("task", "frames"), rows))


@router.route("GET", "/tasks/{id:int}", public=True)
def show_task(call: Call) -> Response:
    task = call.store.get("task", call.path_values["id"])
    if task is None:
        return _not_found(f"There is no task {call.path_values['id']}.")
    labels = ", ".join(escape(label["name"]) for label in call.store.labels_of(task))
    body = [f"<p>Labels: {labels or 'none'}. Frames: {_size(call, task)}.</p>"]
    for job in call.store.jobs_of(task["id"]):
        frames = frame_numbers(job)
        links = " ".join(
            _link(f"/tasks/{task['id']}/jobs/{job['id']}?frame={frame}", str(frame))
            for frame in frames[:MAX_LINKS]
        )
        more = f" and {len(frames) - MAX_LINKS:,} more" if len(frames) > MAX_LINKS else ""
        body.append(f"<h2>Job {job['id']}</h2><p>{escape(str(job['type']))}: {links}{more}</p>")
    return _page(f"Task {task['id']}: {task['name']}", "".join(body), ("/tasks", "all tasks"))


@router.route("GET", "/tasks/{id:int}/jobs/{job:int}", public=True)
def show_frame(call: Call) -> Response:
    store, number = call.store, call.query.get("frame", "")
    task, job = store.get("task", call.path_values["id"]), store.get("job", call.path_values["job"])
    if task is None or job is None or job["task_id"] != task["id"]:
        return _not_found("There is no such job.")
    frames = frame_numbers(job)
    frame = int(number) if number.isdecimal() else frames[0]
    if frame not in frames:
        return _not_found(f"Job {job['id']} has no frame {frame}.")
    data = store.existing("data", task["id"])
    reader = ChunkReader(data, store.media_folder(task["id"]), call.sandbox.faults, "original")
    [(name, content)] = reader.pictures([frame])
    files = data["_frames"]  # a video has one
    _, width, height = files[frame] if frame < len(files) else files[0]
    found = list(_annotations(call, job, frame))
    names = {label["id"]: label["name"] for label in store.labels_of(task)}
    figure = _figure(name, content, (width, height), found, names)
    place = frames.index(frame)
    address = f"/tasks/{task['id']}/jobs/{job['id']}?frame="
    nearby = [("previous", place - 1), ("next", place + 1)]
    steps = "".join(
        _link(f"{address}{frames[there]}", text)
        for text, there in nearby
        if 0 <= there < len(frames)
    )
    rows = [(escape(_name(one, names)), escape(str(one.get("type", "tag")))) for one in found]
    body = f"<nav>{steps}</nav>{figure}{_table(('label', 'type'), rows)}"
    title = f"Frame {frame} · {name}"
    return _page(title, body, (f"/tasks/{task['id']}", f"task {task['id']}: {task['name']}"))


def _annotations(call: Call, job: Row, frame: int) -> Iterable[Row]:
    for kind in ("tags", "shapes"):
        rows = without_copies(call.store.annotations(kind, [job["id"]]), [job])
        for row in rows:
            item: Row = orjson.loads(row.body)
            if item["frame"] == frame:
                yield item


def _figure(
    name: str, content: bytes, size: tuple[int, int], found: Sequence[Row], names: dict[int, str]
) -> str:
    kind = mimetypes.guess_type(name)[0] or "image/jpeg"
    picture = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    colours = assign_colours(names.values())
    drawn = []
    for item in found:
        outline = outline_of(_detection(item), _name(item, names))
        if outline is not None:
            drawn.append(_svg(outline, colours.get(outline.label, "#e6194b")))
    width, height = size
    return (
        f'<figure><img alt="frame {escape(name)}, which cannot be shown" src="{picture}" '
        f'width="{width}" height="{height}" style="height: auto">'
        f'<svg viewBox="0 0 {width} {height}" width="100%" height="100%">{"".join(drawn)}</svg>'
        "</figure>"
    )


def _svg(outline: Outline, colour: str) -> str:
    parts = []
    for part in outline.parts:
        points = " ".join(f"{x:g},{y:g}" for x, y in part)
        if len(part) == 1:
            x, y = part[0]
            parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="3" fill="{colour}"/>')
        else:
            tag = "polyline" if len(part) == 2 or outline.open else "polygon"
            line = 'fill="none" stroke-width="2" vector-effect="non-scaling-stroke"'
            parts.append(f'<{tag} points="{points}" {line} stroke="{colour}"/>')
    left, top, *_ = outline.box()
    text = (
        f'<text x="{left:g}" y="{max(12.0, top - 3):g}" font-size="14" fill="white" '
        'stroke="black" stroke-width="3" paint-order="stroke">'
    )
    return f"<g>{''.join(parts)}{text}{escape(outline.label)}</text></g>"


def _detection(item: Row) -> Detection:
    return Detection(
        type=item.get("type", "tag"),
        label_id=item["label_id"],
        points=tuple(item.get("points") or ()),
        rotation=item.get("rotation") or 0.0,
        outside=bool(item.get("outside")),
        elements=tuple(map(_detection, item.get("elements") or ())),
    )


def _name(item: Row, names: dict[int, str]) -> str:
    return names.get(item["label_id"], f"label {item['label_id']}")


def _size(call: Call, task: Row) -> str:
    data: Any = call.store.get("data", task["id"])
    return f"{data['size']:,}" if data else "no data yet"


def _link(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table. The cells are HTML."""
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _page(
    title: str, body: str, back: tuple[str, str] | None = None, *, status: int = 200
) -> Response:
    top = f"<nav>{_link(*back)}</nav>" if back else ""
    name = escape(title)
    return Response(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f'{top}<h1>{name}</h1>{body}<p class="note">{NOTE}</p></html>',
        status,
        {"Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'"},
        media_type="text/html",
    )


def _not_found(text: str) -> Response:
    return _page("Not found", f"<p>{escape(text)}</p>", ("/tasks", "all tasks"), status=404)
