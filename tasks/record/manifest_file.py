"""The path and content of manifest files, JSON with a line for each frame."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal, get_args

from attrs import asdict, evolve, field, frozen

from cvat_flows.tasks.model.identity import TaskIdentity, folder_of_number, parse_date
from cvat_flows.tasks.record.ownership import FrameHistory, ManifestItem

FORMAT = 1
MANIFESTS = "manifest"
"""Folder of all manifests in the storage."""

OPTIONS_DIGITS = 16
State = Literal["pending", "annotated", "failed", "undone"]
"""`pending`: an upload began and has not ended. `failed`: the frame holds what it held before."""


@frozen(kw_only=True)
class RunStamp:
    """Identifies a run and what it ran with."""

    id: str
    """Flow run id. `undo` selects by it."""
    name: str = ""
    fingerprint: str = ""
    """Fingerprint of the function: its code, model file and parameters."""
    parameters: str = ""
    """Digest of the options that change the result: detection, mapping and remapping. Its first
    OPTIONS_DIGITS are about the options, the rest about the task's labels."""
    images: str = ""
    """Version of the task's images, from `TaskMedia.images_version`."""
    started: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@frozen(kw_only=True)
class FrameRecord:
    """What is recorded about one frame of one job; see FrameHistory for the last three fields, and
    `record.failures` for `failure` and `failures`."""

    state: State
    run: RunStamp
    """The run that wrote the record."""
    when: str = ""
    """ISO 8601, UTC."""
    content_hash: str | None = None
    present: str = ""
    """Digest of what was on the frame before, if the function needs that."""
    error: str = ""
    failure: str = ""
    """Kind of the failure."""
    failures: int = 0
    """Number of runs in a row that failed in this way."""
    pending: tuple[str, ...] = ()
    """Digests of the annotations that are being created, with one request."""
    request: str = ""
    """Id of that request, until its outcome is known and verified. All its frames are in the same
    manifest file."""
    until: float | None = None
    """Until when the request, which had no answer, may still be carried out (seconds since 1970).
    None if it had not ended when the record was written."""
    items: tuple[ManifestItem, ...] = ()
    deleting: tuple[ManifestItem, ...] = ()
    doubtful: tuple[str, ...] = ()
    groups: tuple[tuple[int, int], ...] = ()
    """Numbers of groups: in the job, and of the function."""

    @property
    def history(self) -> FrameHistory:
        """The record as the next upload needs it."""
        return FrameHistory(items=self.items, deleting=self.deleting, doubtful=self.doubtful)


@frozen(kw_only=True)
class JobFile:
    """Records of up to 500 frames of a job."""

    task: TaskIdentity
    server: str
    """Address of the CVAT server when the file was begun. For people: nothing depends on it."""
    job_id: int
    function: str
    frames: dict[int, FrameRecord] = field(factory=dict)


def manifest_folder(task: TaskIdentity, function: str | None = None) -> str:
    """Return the folder of a task's manifests, or of the manifest of one function."""
    folder = f"{MANIFESTS}/{task.folder}"
    return folder if function is None else f"{folder}/{unique_slug(function)}"


def folder_of_namesakes(task_id: int) -> str:
    """Return the folder of the manifests of all tasks with this id, on any server."""
    return f"{MANIFESTS}/{folder_of_number(task_id)}"


def unique_slug(text: str) -> str:
    """Return a readable file name for a text, different for different texts."""
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48]
    return f"{readable}-{blake2b(text.encode(), digest_size=4).hexdigest()}"


def now() -> str:
    """Return the current time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _to_date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def dump_job_file(file: JobFile) -> bytes:
    """Return the content of a file."""
    runs: dict[RunStamp, int] = {}
    creators: dict[str, int] = {}
    labels: dict[str, int] = {}
    lines = []
    for number, record in file.frames.items():
        row: dict[str, Any] = {
            "state": record.state,
            "run": runs.setdefault(record.run, len(runs)),
            "when": record.when,
        }
        if record.content_hash:
            row["content"] = record.content_hash
        if record.present:
            row["present"] = record.present
        if record.error:
            row["error"] = record.error
        if record.failures:
            row["failures"] = [record.failures, record.failure]
        for name, items in (("items", record.items), ("deleting", record.deleting)):
            if items or name == "items":
                row[name] = [_item_to_row(item, creators) for item in items]
        if any(item.label is not None for item in record.items):
            row["labels"] = [_index(item.label, labels) for item in record.items]
        if record.pending:
            row["pending"] = record.pending
        if record.request:
            row["request"] = record.request
        if record.until is not None:
            row["until"] = _to_date(record.until)
        if record.doubtful:
            row["doubtful"] = record.doubtful
        if record.groups:
            row["groups"] = record.groups
        lines.append(f' "{number}": {_to_json(row)}')
    head = {
        "format": FORMAT,
        "server": file.server,
        "task_id": file.task.task_id,
        "task_created": file.task.created.isoformat(),
        **({} if file.task.job_id is None else {"only_job": file.task.job_id}),
        "job_id": file.job_id,
        "function": file.function,
        "runs": [run.to_json() for run in runs],
        "creators": list(creators),
        "labels": list(labels),
    }
    top = ",\n".join(f'"{name}": {_to_json(value)}' for name, value in head.items())
    return ("{\n" + top + ',\n"frames": {\n' + ",\n".join(lines) + "\n}\n}\n").encode()


def parse_job_file(content: bytes) -> JobFile:
    """Read a file. Raises ValueError, KeyError, TypeError or IndexError if it is damaged."""
    top = json.loads(content)
    if top["format"] != FORMAT:
        raise ValueError(f"format {top['format']!r} is not {FORMAT}: a newer version wrote it")
    runs = [RunStamp(**run) for run in top["runs"]]
    creators, labels = top["creators"], top.get("labels", [])
    return JobFile(
        task=TaskIdentity(
            task_id=top["task_id"],
            created=parse_date(top["task_created"]),
            job_id=top.get("only_job"),
        ),
        server=top["server"],
        job_id=top["job_id"],
        function=top["function"],
        frames={
            int(n): _parse_record(row, runs, creators, labels) for n, row in top["frames"].items()
        },
    )


def _parse_record(
    row: dict[str, Any], runs: list[RunStamp], creators: list[str], labels: list[str]
) -> FrameRecord:
    if row["state"] not in get_args(State):
        raise ValueError(f"unknown state {row['state']!r}")
    failures, failure = row.get("failures", (0, ""))
    return FrameRecord(
        state=row["state"],
        run=runs[row["run"]],
        when=row["when"],
        content_hash=row.get("content"),
        present=row.get("present", ""),
        error=row.get("error", ""),
        failure=failure,
        failures=failures,
        items=_with_labels(_parse_items(row["items"], creators), row.get("labels", ()), labels),
        deleting=_parse_items(row.get("deleting", ()), creators),
        pending=tuple(row.get("pending", ())),
        request=row.get("request", ""),
        until=datetime.fromisoformat(row["until"]).timestamp() if "until" in row else None,
        doubtful=tuple(row.get("doubtful", ())),
        groups=tuple((number, group) for number, group in row.get("groups", ())),
    )


def _item_to_row(item: ManifestItem, creators: dict[str, int]) -> list[Any]:
    return [item.id, item.digest, _index(item.run, creators)]


def _index(name: str | None, known: dict[str, int]) -> int | None:
    return None if name is None else known.setdefault(name, len(known))


def _parse_items(rows: Iterable[Any], creators: list[str]) -> tuple[ManifestItem, ...]:
    return tuple(
        ManifestItem(id=i, digest=digest, run=None if creator is None else creators[creator])
        for i, digest, creator in rows
    )


def _with_labels(
    items: tuple[ManifestItem, ...], indices: Sequence[int | None], labels: list[str]
) -> tuple[ManifestItem, ...]:
    if not indices:
        return items
    names = (None if index is None else labels[index] for index in indices)
    return tuple(evolve(item, label=name) for item, name in zip(items, names, strict=True))


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
