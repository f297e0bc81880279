"""The summary of a manifest: one small file that says what is left to do in a CVAT task."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from attrs import asdict, evolve, field, frozen

from cvat_flows.tasks.model.identity import TaskIdentity, parse_date
from cvat_flows.tasks.record.failures import is_set_aside
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp, manifest_folder, now
from cvat_flows.tasks.storage import Storage

_FORMAT = 1
CLOCK_STEP = timedelta(seconds=5)
"""The clocks of CVAT's machines may differ by this much, or be set back by it."""


@frozen(kw_only=True)
class Summary:
    """What one function has done in one CVAT task."""

    task: TaskIdentity
    function: str
    frames: int
    """Number of frames in the task when the summary was written."""
    skipped: int
    """Number of frames that were not to be annotated (deleted, ground truth)."""
    run: RunStamp
    """The last run."""
    when: str
    """When the summary was written."""
    task_updated: datetime
    """When the task had last been changed then, by CVAT's clock."""
    done: dict[str, int] = field(factory=dict)
    """Number of annotated frames by `fingerprint parameters`."""
    states: dict[str, int] = field(factory=dict)
    """Number of frames by state: annotated, failed, pending, undone."""
    set_aside: dict[str, int] = field(factory=dict)
    """Number of failed frames that are not tried again, by `fingerprint parameters`."""

    def is_later_than(self, task_updated: datetime) -> bool:
        """Return whether this was written later than what CVAT now says is the last change.

        Then CVAT has gone back in time: it was restored from a backup, or is a copy of the server
        that the records are about. The records cannot tell what is in the task.
        """
        return self.task_updated > task_updated + CLOCK_STEP


def write_summary(
    manifest: Manifest,
    *,
    frames: int,
    task_updated: datetime,
    skipped: int = 0,
    excluded: Collection[int] = (),
    annotated: Collection[int] = (),
) -> Summary:
    """Count the records of a manifest, write the summary and return it.

    A frame of several jobs counts once. It is done if it is done in each job with a record.

    Args:
        manifest: The manifest.
        frames: Number of frames in the task.
        task_updated: When the task was last changed, by CVAT's clock.
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
        task=manifest.task,
        function=manifest.function,
        frames=frames,
        skipped=skipped + len(left_out),
        run=manifest.run,
        when=now(),
        task_updated=task_updated,
        done=_count_by_version(r for r in records.values() if r.state == "annotated"),
        states=dict(Counter(str(record.state) for record in records.values())),
        set_aside=_count_by_version(r for r in records.values() if is_set_aside(r, r.run)),
    )
    row = {"format": _FORMAT, **asdict(summary)}
    content = json.dumps(row, ensure_ascii=False, indent=1, default=datetime.isoformat).encode()
    manifest.storage.write(_path(manifest.task, manifest.function), content)
    return summary


def read_summary(storage: Storage, *, task: TaskIdentity, function: str) -> Summary | None:
    """Return what the function has done in the CVAT task, or None if no run of it has ended there.

    Costs one small read and no request to CVAT. An unreadable summary counts as None: the next run
    finds out from the records what is done.
    """
    content = storage.read(_path(task, function))
    if content is None:
        return None
    try:
        row = json.loads(content)
        if row.pop("format") != _FORMAT:
            return None
        row["task"]["created"] = parse_date(row["task"]["created"])
        return Summary(
            **{
                **row,
                "task": TaskIdentity(**row["task"]),
                "run": RunStamp(**row["run"]),
                "task_updated": parse_date(row["task_updated"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _count_by_version(records: Iterable[FrameRecord]) -> dict[str, int]:
    return dict(Counter(f"{one.run.fingerprint} {one.run.parameters}" for one in records))


def _path(task: TaskIdentity, function: str) -> str:
    return f"{manifest_folder(task, function)}/summary.json"
