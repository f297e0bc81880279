"""Delete what a run put into one job of a CVAT task, if nobody has changed it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby

from attrs import evolve, frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.record.manifest_file import FrameRecord, now
from cvat_flows.tasks.record.ownership import ExistingObject
from cvat_flows.tasks.upload.frames.plan import FramePlan, plan_undo
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.requests.delete import Deleter, Key
from cvat_flows.tasks.upload.requests.read import JobReader
from cvat_flows.tasks.upload.requests.recover import recover


@frozen(kw_only=True)
class UndoneJob:
    """What `undo` did to one job of one function. In a dry run: what it would do."""

    function: str
    job_id: int
    frames: int
    deleted: int
    left: int
    """Number of the run's objects that a person has changed or removed."""
    undeletable: tuple[str, ...] = ()
    """Why CVAT refused to delete objects."""


def records_by_job(
    manifest: Manifest, run: str | None
) -> Iterator[tuple[int, dict[int, FrameRecord]]]:
    """Yield the records of each job in which the run is involved."""
    for job_id, rows in groupby(manifest.records(), key=lambda row: row[0]):
        records = {frame: record for _, frame, record in rows}
        if any(_is_involved(record, run) for record in records.values()):
            yield job_id, records


def _is_involved(record: FrameRecord, run: str | None) -> bool:
    items = (*record.items, *record.deleting)
    if record.state == "undone" and not record.pending:
        return any(item.run is not None and run in (None, item.run) for item in items)
    return run is None or record.run.id == run or any(item.run == run for item in items)


def undo_job(
    client: Client,
    job_id: int,
    manifest: Manifest,
    records: Mapping[int, FrameRecord],
    run: str | None,
    options: UploadOptions,
) -> UndoneJob:
    """Delete what a run put into one job, and write the result to the manifest."""
    involved = {frame for frame, record in records.items() if _is_involved(record, run)}
    channel = JobAnnotations(client=client, job_id=job_id, retry_policy=options.retry_policy)
    looked_at = time.time()
    try:
        snapshot = channel.read_bytes()
    except CvatRefused as error:
        if error.status != 404:
            raise
        return UndoneJob(
            function=manifest.function,
            job_id=job_id,
            frames=len(involved),
            deleted=0,
            left=0,
            undeletable=(f"job {job_id} does not exist any more",),
        )
    labels = fetch_labels(client, job_id=job_id) if options.labels is None else options.labels
    reader = JobReader(
        channel=channel,
        names=manifest.label_names(labels),
        recorded=partial(manifest.record, job_id),
    )
    existing = reader.objects(records, snapshot)
    recovery = recover(records, existing, options.look(manifest.run.id, looked_at))
    if recovery.held and not options.dry_run:
        # Afterwards no request of the run can be carried out any more.
        channel.sleep(max(0.0, max(recovery.held.values()) - time.time()))
        looked_at, snapshot = time.time(), reader.snapshot()
        existing = reader.objects(records, snapshot)
        records = {**records, **recovery.changed}
        recovery = recover(records, existing, options.look(manifest.run.id, looked_at))
    records = {n: recovery.changed.get(n, records[n]) for n in involved}
    plans = {n: plan_undo(existing.get(n, []), r.history, run) for n, r in records.items()}
    targets = {
        frame: {(o.id, o.digest) for o in (*plan.delete, *plan.duplicates)}
        for frame, plan in plans.items()
    }
    left = sum(_count_left(plan, existing.get(frame, []), run) for frame, plan in plans.items())
    deleter = Deleter(channel=channel, options=options, find=reader.find)
    if not options.dry_run:
        # Written before the deletion: if that is interrupted, the next run knows that a missing
        # object was not deleted by a person.
        options.check()
        manifest.write(job_id, {n: _record_before(records[n], plan) for n, plan in plans.items()})
        deleter.delete(reader.find(targets, snapshot))
        options.check()
        manifest.write(
            job_id,
            {
                frame: FrameRecord(
                    state="undone",
                    run=manifest.run,
                    when=now(),
                    content_hash=records[frame].content_hash,
                    items=plan.items
                    if frame not in deleter.undeletable
                    else (*plan.items, *plan.superseded),
                    doubtful=records[frame].doubtful,
                    groups=records[frame].groups,
                )
                for frame, plan in plans.items()
            },
        )
    return UndoneJob(
        function=manifest.function,
        job_id=job_id,
        frames=len(involved),
        deleted=sum(len(keys) for keys in targets.values())
        if options.dry_run
        else sum(deleter.deleted.values()),
        left=left,
        undeletable=tuple(deleter.undeletable.values()),
    )


def _record_before(record: FrameRecord, plan: FramePlan) -> FrameRecord:
    """Return the record to write before the deletion."""
    return evolve(record, items=plan.items, deleting=plan.superseded)


def _count_left(plan: FramePlan, existing: Iterable[ExistingObject], run: str | None) -> int:
    unchanged: set[Key] = {(o.id, o.digest) for o in existing}
    return sum(
        item.run is not None and run in (None, item.run) and (item.id, item.digest) not in unchanged
        for item in plan.items
    )
