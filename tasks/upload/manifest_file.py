"""One file of the manifest: JSON with a line for each frame, for people and diffs to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, get_args

from attrs import asdict, field, frozen

from cvat_flows.tasks.upload.plan import Item, Known

FORMAT = 1

State = Literal["pending", "annotated", "failed", "undone"]
"""`pending`: an upload began and has not ended. `failed`: the frame holds what it held before."""


@frozen(kw_only=True)
class RunStamp:
    """Which run wrote something, with what."""

    id: str
    """Flow run id: what `undo` selects by."""
    name: str = ""
    fingerprint: str = ""
    """Fingerprint of the function: its code, model file and parameters."""
    parameters: str = ""
    """Digest of the detection, mapping and remapping options: they change the result too."""
    started: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@frozen(kw_only=True)
class FrameRecord:
    """What is known about one frame of one job."""

    state: State
    run: RunStamp
    """The run that wrote the record."""
    when: str = ""
    """ISO 8601, UTC."""
    content_hash: str | None = None
    error: str = ""
    items: tuple[Item, ...] = ()
    doomed: tuple[Item, ...] = ()
    pending: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()

    @property
    def known(self) -> Known:
        """The record as the plan of an upload needs it."""
        return Known(
            items=self.items,
            doomed=self.doomed,
            pending=self.pending,
            pending_run=self.run.id,
            unsure=self.unsure,
        )


@frozen(kw_only=True)
class JobFile:
    """Records of up to 500 frames of a job."""

    server: str
    task_id: int
    job_id: int
    function: str
    frames: dict[int, FrameRecord] = field(factory=dict)


def dump_job_file(file: JobFile) -> bytes:
    """The file's content."""
    runs: dict[RunStamp, int] = {}
    creators: dict[str, int] = {}
    lines = []
    for number, record in file.frames.items():
        row: dict[str, Any] = {
            "state": record.state,
            "run": runs.setdefault(record.run, len(runs)),
            "when": record.when,
        }
        if record.content_hash:
            row["content"] = record.content_hash
        if record.error:
            row["error"] = record.error
        for name, items in (("items", record.items), ("doomed", record.doomed)):
            if items or name == "items":
                row[name] = [_row(item, creators) for item in items]
        for name, digests in (("pending", record.pending), ("unsure", record.unsure)):
            if digests:
                row[name] = digests
        lines.append(f' "{number}": {_line(row)}')
    head = {
        "format": FORMAT,
        "server": file.server,
        "task_id": file.task_id,
        "job_id": file.job_id,
        "function": file.function,
        "runs": [run.to_json() for run in runs],
        "creators": list(creators),
    }
    top = ",\n".join(f'"{name}": {_line(value)}' for name, value in head.items())
    return ("{\n" + top + ',\n"frames": {\n' + ",\n".join(lines) + "\n}\n}\n").encode()


def parse_job_file(content: bytes) -> JobFile:
    """Read a file back. Raises ValueError, KeyError, TypeError or IndexError if it is damaged."""
    top = json.loads(content)
    if top["format"] != FORMAT:
        raise ValueError(f"format {top['format']!r} is not {FORMAT}: a newer version wrote it")
    runs = [RunStamp(**run) for run in top["runs"]]
    creators = top["creators"]
    return JobFile(
        server=top["server"],
        task_id=top["task_id"],
        job_id=top["job_id"],
        function=top["function"],
        frames={int(n): _record(row, runs, creators) for n, row in top["frames"].items()},
    )


def _record(row: dict[str, Any], runs: list[RunStamp], creators: list[str]) -> FrameRecord:
    if row["state"] not in get_args(State):
        raise ValueError(f"unknown state {row['state']!r}")
    return FrameRecord(
        state=row["state"],
        run=runs[row["run"]],
        when=row["when"],
        content_hash=row.get("content"),
        error=row.get("error", ""),
        items=_items(row["items"], creators),
        doomed=_items(row.get("doomed", ()), creators),
        pending=tuple(row.get("pending", ())),
        unsure=tuple(row.get("unsure", ())),
    )


def _row(item: Item, creators: dict[str, int]) -> list[Any]:
    run = None if item.run is None else creators.setdefault(item.run, len(creators))
    return [item.id, item.digest, run]


def _items(rows: Iterable[Any], creators: list[str]) -> tuple[Item, ...]:
    return tuple(
        Item(id=i, digest=digest, run=None if creator is None else creators[creator])
        for i, digest, creator in rows
    )


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
