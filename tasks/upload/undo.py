"""Take back what a run put into a CVAT task, as far as nobody has changed it since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from attrs import evolve, frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.digest import attribute_defaults
from cvat_flows.tasks.cvat.errors import CvatRefused
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.storage import Storage
from cvat_flows.tasks.upload.delete import Deleter, Key
from cvat_flows.tasks.upload.lease import task_lease
from cvat_flows.tasks.upload.manifest import Manifest, functions_of_task, now, read_summary
from cvat_flows.tasks.upload.manifest_file import FrameRecord, RunStamp
from cvat_flows.tasks.upload.plan import FramePlan, Present, plan_undo
from cvat_flows.tasks.upload.read import JobReader
from cvat_flows.tasks.upload.result import UploadOptions


class NothingToUndo(CvatFlowsError):
    """No manifest names the run, or the task at all."""


@frozen(kw_only=True)
class UndoneJob:
    """What undoing did to one job of one function, or in a dry run would do."""

    function: str
    job_id: int
    frames: int
    deleted: int
    left: int
    """Objects of the run that stay: a person has changed or removed them."""
    undeletable: tuple[str, ...] = ()
    """Why CVAT did not let some be deleted."""


def undo(
    client: Client,
    task_id: int,
    *,
    storage: Storage,
    server: str,
    stamp: RunStamp,
    run: str | None = None,
    function: str | None = None,
    options: UploadOptions | None = None,
    wait: float = 60.0,
) -> list[UndoneJob]:
    """Delete what the run (by its id; None: every run) put into the task and nobody has changed.

    `stamp` names this undoing itself, in the lease and the manifest. `function` narrows it to one
    function. What a run deleted (`existing="replace"` or `"clear"`) does not come back.

    Raises NothingToUndo, TaskIsBusy, CvatUnavailable, CvatRefused. It can be repeated.
    """
    options = options or UploadOptions()
    names = [function] if function else functions_of_task(storage, server=server, task_id=task_id)
    undone: list[UndoneJob] = []
    with task_lease(storage, server=server, task_id=task_id, run=stamp, wait=wait) as lease:
        options = evolve(options, check=lease.check)
        for name in names:
            manifest = Manifest(storage, server=server, task_id=task_id, function=name, run=stamp)
            for job_id, records in _by_job(manifest, run):
                undone.append(_undo_job(client, job_id, manifest, records, run, options))
            summary = read_summary(storage, server=server, task_id=task_id, function=name)
            if summary and not options.dry_run:
                manifest.summarize(frames=summary.frames, skipped=summary.skipped)
    if not undone:
        which = f"run {run}" if run else "this project"
        raise NothingToUndo(
            f"task {task_id}: the manifest knows nothing that {which} put there; "
            f"`cvat-flows manifest {task_id}` shows what it knows"
        )
    return undone


def _by_job(manifest: Manifest, run: str | None) -> Iterator[tuple[int, dict[int, FrameRecord]]]:
    """The records that the run has a part in, a job at a time."""
    for job_id, rows in groupby(manifest.records(), key=lambda row: row[0]):
        records = {frame: record for _, frame, record in rows if _has_part(record, run)}
        if records:
            yield job_id, records


def _has_part(record: FrameRecord, run: str | None) -> bool:
    items = (*record.items, *record.doomed)
    if record.state == "undone" and not record.pending:
        return any(item.run is not None and run in (None, item.run) for item in items)
    return run is None or record.run.id == run or any(item.run == run for item in items)


def _undo_job(
    client: Client,
    job_id: int,
    manifest: Manifest,
    records: Mapping[int, FrameRecord],
    run: str | None,
    options: UploadOptions,
) -> UndoneJob:
    channel = JobAnnotations(client=client, job_id=job_id, retry_policy=options.retry_policy)
    try:
        snapshot = channel.read_bytes()
    except CvatRefused as error:
        if error.status != 404:
            raise
        gone = f"job {job_id} does not exist any more"
        return UndoneJob(
            function=manifest.function,
            job_id=job_id,
            frames=len(records),
            deleted=0,
            left=0,
            undeletable=(gone,),
        )
    labels = fetch_labels(client, job_id=job_id) if options.labels is None else options.labels
    reader = JobReader(channel=channel, defaults=attribute_defaults(labels))
    present = reader.present(records, snapshot)
    plans = {n: plan_undo(present.get(n, []), r.known, run) for n, r in records.items()}
    targets = {
        frame: {(p.id, p.digest) for p in (*plan.delete, *plan.surplus)}
        for frame, plan in plans.items()
    }
    left = sum(_left(plan, present.get(frame, []), run) for frame, plan in plans.items())
    deleter = Deleter(channel=channel, options=options, find=reader.find)
    if not options.dry_run:
        # First, so that what is gone when this is interrupted is not taken for a person's doing.
        options.check()
        manifest.write(job_id, {n: _intent(records[n], plan) for n, plan in plans.items()})
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
                )
                for frame, plan in plans.items()
            },
        )
    return UndoneJob(
        function=manifest.function,
        job_id=job_id,
        frames=len(records),
        deleted=sum(len(keys) for keys in targets.values())
        if options.dry_run
        else sum(deleter.deleted.values()),
        left=left,
        undeletable=tuple(deleter.undeletable.values()),
    )


def _intent(record: FrameRecord, plan: FramePlan) -> FrameRecord:
    """The record to have while objects are being deleted."""
    return evolve(
        record,
        items=plan.items,
        doomed=plan.superseded,
        pending=(),
        unsure=tuple(sorted({*record.pending, *record.unsure})),
    )


def _left(plan: FramePlan, present: Iterable[Present], run: str | None) -> int:
    there: set[Key] = {(p.id, p.digest) for p in present}
    return sum(
        item.run is not None and run in (None, item.run) and (item.id, item.digest) not in there
        for item in plan.items
    )
