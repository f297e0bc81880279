"""When a function wrote to a job, by CVAT's clock: whether people have looked at it since.

CVAT moves the date of a job with each change of its annotations, its stage or its state. If the
date is still the one that an upload left, nobody has changed anything since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from attrs import asdict, frozen

from cvat_flows.tasks.storage import Storage

MAX_UPLOADS = 100
"""Uploads to a job that are kept, the last ones."""


@frozen(kw_only=True)
class JobChange:
    """An upload that changed a job."""

    run: str
    """Id of the run."""
    before: str
    """The job's date when the upload began, as CVAT writes it."""
    after: str
    """The same when it ended."""


def read_changes(storage: Storage, folder: str, job_id: int) -> list[JobChange]:
    """Return the recorded uploads of a function to a job, the oldest first.

    What cannot be read counts as absent: then people are trusted.
    """
    content = storage.read(_path(folder, job_id))
    try:
        return [JobChange(**row) for row in json.loads(content)] if content else []
    except (ValueError, TypeError):
        return []


def add_change(storage: Storage, folder: str, job_id: int, upload: JobChange) -> None:
    """Record an upload to a job, unless it changed nothing."""
    if not upload.before or not upload.after or upload.before == upload.after:
        return
    uploads = [*read_changes(storage, folder, job_id), upload][-MAX_UPLOADS:]
    rows = ",\n".join(json.dumps(asdict(one)) for one in uploads)
    storage.write(_path(folder, job_id), f"[\n{rows}\n]\n".encode())


def runs_since_people(uploads: Iterable[JobChange], updated: str) -> frozenset[str]:
    """Return the runs that wrote to a job after the last change by anybody else.

    Args:
        uploads: The uploads of all functions to the job.
        updated: The job's date now, as CVAT writes it.

    >>> first = JobChange(run="1", before="08:00", after="09:00")
    >>> second = JobChange(run="2", before="10:00", after="11:00")
    >>> sorted(runs_since_people([first, second], "11:00"))
    ['2']
    >>> sorted(runs_since_people([first, second], "11:30"))
    []
    """
    by_end = {one.after: one for one in uploads}
    runs = set()
    while (one := by_end.pop(updated, None)) is not None:
        runs.add(one.run)
        updated = one.before
    return frozenset(runs)


def _path(folder: str, job_id: int) -> str:
    return f"{folder}/uploads-{job_id}.json"
