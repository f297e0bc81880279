"""The history of runs on a CVAT task: a list for people beside the manifest.

The records of frames say which run wrote them last. This file also keeps the runs before that.
No upload is decided by it: a run that cannot write it goes on, and a damaged file begins anew.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Literal

from attrs import asdict, fields, frozen

from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.record.manifest_file import RunStamp, manifest_folder
from cvat_flows.tasks.storage import Storage, StorageError

MAX_RUNS = 200
"""Runs that are kept, the latest ones."""


@frozen(kw_only=True)
class RunEntry:
    """One run of a function on a CVAT task."""

    run: str
    """Id of the run."""
    action: Literal["annotate", "undo"] = "annotate"
    name: str = ""
    started: str = ""
    ended: str = ""
    """ISO 8601, UTC, as `started`."""
    fingerprint: str = ""
    parameters: str = ""
    """Digest of the options, as in `RunStamp`."""
    annotated: int = 0
    """Frames."""
    failed: int = 0
    skipped: int = 0
    created: int = 0
    """Annotations."""
    deleted: int = 0
    stopped: str = ""
    """Why the run stopped before its end, if it did."""


def add_to_history(storage: Storage, entry: RunEntry, *, task: TaskIdentity, function: str) -> None:
    """Add a run, or replace its entry. The caller has the lease of the task."""
    with suppress(OSError, StorageError):
        known = [
            one
            for one in read_history(storage, task=task, function=function)
            if one.run != entry.run
        ]
        rows = [asdict(one) for one in [*known, entry][-MAX_RUNS:]]
        content = json.dumps({"runs": rows}, ensure_ascii=False, indent=1).encode()
        storage.write(_path(task, function), content, durable=False)


def read_history(storage: Storage, *, task: TaskIdentity, function: str) -> list[RunEntry]:
    """Return the known runs of a function on a CVAT task, the latest last."""
    content = storage.read(_path(task, function))
    with suppress(ValueError, KeyError, TypeError):
        names = {one.name for one in fields(RunEntry)}
        return [
            RunEntry(**{name: value for name, value in row.items() if name in names})
            for row in json.loads(content or b"")["runs"]
        ]
    return []


def entry_of(stamp: RunStamp, **values: object) -> RunEntry:
    """Return the entry of the run that a stamp identifies."""
    return RunEntry(
        run=stamp.id,
        name=stamp.name,
        started=stamp.started,
        fingerprint=stamp.fingerprint,
        parameters=stamp.parameters,
        **values,  # type: ignore[arg-type]
    )


def _path(task: TaskIdentity, function: str) -> str:
    return f"{manifest_folder(task, function)}/history.json"
