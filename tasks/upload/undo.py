"""Delete what a run put into a CVAT task, if nobody has changed it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby

from attrs import evolve, frozen
from cvat_sdk import Client

from aa_functions.identity import named_alike
from aa_functions.installed import installed_functions, short_name
from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.cvat.task import fetch_identity, fetch_updated
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.record.history import add_to_history, entry_of
from cvat_flows.tasks.record.lease import task_lease
from cvat_flows.tasks.record.manifest import Manifest, describe_namesakes, functions_of_task
from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp, now
from cvat_flows.tasks.record.manifest_summary import read_summary, write_summary
from cvat_flows.tasks.record.ownership import ExistingObject
from cvat_flows.tasks.storage import Storage
from cvat_flows.tasks.upload.frames.plan import FramePlan, plan_undo
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.requests.delete import Deleter, Key
from cvat_flows.tasks.upload.requests.read import JobReader
from cvat_flows.tasks.upload.requests.recover import recover


class NothingToUndo(CvatFlowsError):
    """The manifest contains nothing of the run, or of the task."""


class AmbiguousName(CvatFlowsError):
    """Several functions have the name up to the hash of their paths, or several runs the id."""


LENGTH_OF_ID = 36
"""Characters of a run's id."""


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


def undo(
    client: Client,
    task_id: int,
    *,
    storage: Storage,
    stamp: RunStamp,
    run: str | None = None,
    function: str | None = None,
    options: UploadOptions | None = None,
    wait: float = 60.0,
) -> list[UndoneJob]:
    """Delete what a run put into a CVAT task, if nobody has changed it.

    What the run deleted (`--existing replace` or `clear`) is not restored. Calling this again is
    harmless.

    Args:
        client: The CVAT server.
        task_id: Id of the CVAT task.
        storage: The storage of the manifests.
        stamp: Identifies this undo in the lease and the manifest.
        run: Id of the run, or its first characters; None for all runs.
        function: Name of the function; None for all functions. The hash of a file's name can be
            left out.
        options: `dry_run` and the limits of requests.
        wait: Seconds to wait for another run that writes to the task.

    Raises:
        NothingToUndo: The manifest contains nothing of the run.
        AmbiguousName: Several functions of the task have this file name, or several runs begin
            with these characters.
        TaskIsBusy: Another run writes to the task.
        CvatUnavailable, CvatRefused: CVAT does not carry out the requests.
    """
    options = options or UploadOptions()
    task = fetch_identity(client, task_id)
    names = _names(functions_of_task(storage, task), function)
    if run and len(run) < LENGTH_OF_ID:
        run = _full_run_id(
            run, [Manifest(storage, task=task, function=n, run=stamp) for n in names]
        )
    undone: list[UndoneJob] = []
    with task_lease(storage, task=task, run=stamp, wait=wait) as lease:
        options = evolve(options, check=lease.check, quiet_since=lease.quiet_since)
        for name in names:
            manifest = Manifest(storage, task=task, function=name, run=stamp)
            for job_id, records in _records_by_job(manifest, run):
                undone.append(_undo_job(client, job_id, manifest, records, run, options))
            deleted = sum(job.deleted for job in undone if job.function == name)
            if deleted and not options.dry_run:
                entry = entry_of(stamp, action="undo", ended=now(), deleted=deleted)
                add_to_history(storage, entry, task=task, function=name)
            summary = read_summary(storage, task=task, function=name)
            if summary and not options.dry_run:
                write_summary(
                    manifest,
                    frames=summary.frames,
                    task_updated=fetch_updated(client, task_id),
                    skipped=summary.skipped,
                )
    if not undone:
        which = f"run {run}" if run else "this project"
        others = describe_namesakes(storage, task)
        raise NothingToUndo(
            f"task {task_id}: the manifest contains nothing that {which} put there; "
            + (others or f"`cvat-flows manifest {task_id}` shows its content")
        )
    return undone


def _names(known: list[str], wanted: str | None) -> list[str]:
    if wanted is None:
        return known
    full = installed_functions().get(wanted, wanted)
    if wanted in known or full in known:
        return [wanted if wanted in known else full]
    alike = named_alike(wanted, known) if "@" not in wanted else []
    if len(alike) > 1:
        raise AmbiguousName(
            f"--function {wanted}: the task has annotations of {' and '.join(alike)}; name one"
        )
    if known and not alike:
        names = " and ".join(short_name(name) for name in known)
        raise NothingToUndo(
            f"--function {wanted}: the task has annotations of {names}, but none of this function"
        )
    return alike


def _full_run_id(start: str, manifests: Iterable[Manifest]) -> str:
    """Return the id of the one run that begins with `start`; `start` if there is none."""
    records = [record for manifest in manifests for _, _, record in manifest.records()]
    ids = {record.run.id for record in records}
    ids.update(item.run for record in records for item in record.items if item.run)
    found = sorted(one for one in ids if one.startswith(start))
    if len(found) > 1:
        raise AmbiguousName(f"--run {start}: begins the ids of {' and '.join(found)}; name one")
    return found[0] if found else start


def _records_by_job(
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


def _undo_job(
    client: Client,
    job_id: int,
    manifest: Manifest,
    records: Mapping[int, FrameRecord],
    run: str | None,
    options: UploadOptions,
) -> UndoneJob:
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
