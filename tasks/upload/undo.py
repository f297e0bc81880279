"""Delete what a run put into a CVAT task, if nobody has changed it."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve
from cvat_sdk import Client

from aa_functions.identity import named_alike
from aa_functions.installed import installed_functions, short_name
from cvat_flows.tasks.cvat.task import fetch_updated
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.record.history import add_to_history, entry_of
from cvat_flows.tasks.record.lease import task_lease
from cvat_flows.tasks.record.manifest import Manifest, describe_namesakes, functions_of_task
from cvat_flows.tasks.record.manifest_file import RunStamp, now
from cvat_flows.tasks.record.manifest_summary import read_summary, write_summary
from cvat_flows.tasks.record.single_jobs import find_identities
from cvat_flows.tasks.storage import Storage
from cvat_flows.tasks.upload.frames.result import UploadOptions
from cvat_flows.tasks.upload.undo_job import UndoneJob, records_by_job, undo_job


class NothingToUndo(CvatFlowsError):
    """The manifest contains nothing of the run, or of the task."""


class AmbiguousName(CvatFlowsError):
    """Several functions have the name up to the hash of their paths, or several runs the id."""


LENGTH_OF_ID = 36
"""Characters of a run's id."""


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
    tasks = find_identities(client, storage, task_id)
    known = {task: functions_of_task(storage, task) for task in tasks}
    names = _names(sorted({name for of_task in known.values() for name in of_task}), function)
    manifests = {
        task: [
            Manifest(storage, task=task, function=name, run=stamp)
            for name in names
            if name in known[task]
        ]
        for task in tasks
    }
    if run and len(run) < LENGTH_OF_ID:
        run = _full_run_id(run, [one for of_task in manifests.values() for one in of_task])
    undone: list[UndoneJob] = []
    for task in tasks:
        with task_lease(storage, task=task, run=stamp, wait=wait) as lease:
            held = evolve(options, check=lease.check, quiet_since=lease.quiet_since)
            for manifest in manifests[task]:
                undone += _undo_function(client, manifest, run, held)
    if not undone:
        which = f"run {run}" if run else "this project"
        others = describe_namesakes(storage, tasks[0])
        raise NothingToUndo(
            f"task {task_id}: the manifest contains nothing that {which} put there; "
            + (others or f"`cvat-flows manifest {task_id}` shows its content")
        )
    return undone


def _undo_function(
    client: Client, manifest: Manifest, run: str | None, options: UploadOptions
) -> list[UndoneJob]:
    undone = [
        undo_job(client, job_id, manifest, records, run, options)
        for job_id, records in records_by_job(manifest, run)
    ]
    if options.dry_run:
        return undone
    storage, task, function = manifest.storage, manifest.task, manifest.function
    if deleted := sum(job.deleted for job in undone):
        entry = entry_of(manifest.run, action="undo", ended=now(), deleted=deleted)
        add_to_history(storage, entry, task=task, function=function)
    if summary := read_summary(storage, task=task, function=function):
        write_summary(
            manifest,
            frames=summary.frames,
            task_updated=fetch_updated(client, task),
            skipped=summary.skipped,
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
