"""The summary of a manifest: one small file that says what is left to do in a CVAT task."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection

from attrs import asdict, evolve, field, frozen

from cvat_flows.tasks.storage import Storage
from cvat_flows.tasks.upload.manifest import Manifest
from cvat_flows.tasks.upload.manifest_file import FrameRecord, RunStamp, manifest_folder, now

_FORMAT = 1


@frozen(kw_only=True)
class Summary:
    """What one function has done in one CVAT task."""

    server: str
    task_id: int
    function: str
    frames: int
    """Number of frames in the task when the summary was written."""
    skipped: int
    """Number of frames that were not to be annotated (deleted, ground truth)."""
    run: RunStamp
    """The last run."""
    when: str
    """When the summary was written."""
    done: dict[str, int] = field(factory=dict)
    """Number of annotated frames by `fingerprint parameters`."""
    states: dict[str, int] = field(factory=dict)
    """Number of frames by state: annotated, failed, pending, undone."""


def write_summary(
    manifest: Manifest,
    *,
    frames: int,
    skipped: int = 0,
    excluded: Collection[int] = (),
    annotated: Collection[int] = (),
) -> Summary:
    """Count the records of a manifest, write the summary and return it.

    A frame of several jobs counts once. It is done if it is done in each job with a record.

    Args:
        manifest: The manifest.
        frames: Number of frames in the task.
        skipped: Number of skipped frames besides those in `excluded` and `annotated`.
        excluded: Frames that are not to be annotated, even if that was done before.
        annotated: Frames with annotations. They are not to be annotated either, unless the
            annotations are from this function.
    """
    records: dict[int, FrameRecord] = {}
    for _, number, record in manifest.records():
        known = records.get(number)
        # The least complete record represents the frame.
        if (
            known is None
            or manifest.is_current(known)
            or (known.state == "annotated" and record.state != "annotated")
        ):
            records[number] = evolve(record, items=())
    left_out = {*excluded}
    left_out |= {n for n in annotated if n not in records or records[n].state != "annotated"}
    for number in left_out & records.keys():
        del records[number]
    summary = Summary(
        server=manifest.server,
        task_id=manifest.task_id,
        function=manifest.function,
        frames=frames,
        skipped=skipped + len(left_out),
        run=manifest.run,
        when=now(),
        done=dict(
            Counter(
                f"{record.run.fingerprint} {record.run.parameters}"
                for record in records.values()
                if record.state == "annotated"
            )
        ),
        states=dict(Counter(str(record.state) for record in records.values())),
    )
    row = {"format": _FORMAT, **asdict(summary)}
    content = json.dumps(row, ensure_ascii=False, indent=1).encode()
    manifest.storage.write(_path(manifest.server, manifest.task_id, manifest.function), content)
    return summary


def read_summary(storage: Storage, *, server: str, task_id: int, function: str) -> Summary | None:
    """Return what the function has done in the CVAT task, or None if no run of it has ended there.

    Costs one small read and no request to CVAT. An unreadable summary counts as None: the next run
    finds out from the records what is done.
    """
    content = storage.read(_path(server, task_id, function))
    if content is None:
        return None
    try:
        row = json.loads(content)
        if row.pop("format") != _FORMAT:
            return None
        return Summary(**{**row, "run": RunStamp(**row["run"])})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _path(server: str, task_id: int, function: str) -> str:
    return f"{manifest_folder(server, task_id, function)}/summary.json"
