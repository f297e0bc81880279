"""Records of single jobs, which users make who may use a job but not its task.

They are apart from the record of the task, because CVAT does not tell such a user which task it is
that has this number. So nobody may use both: what one record says is there, the other would upload
again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.job import NotWritable, fetch_job
from cvat_flows.tasks.cvat.task import fetch_identity
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.identity import TaskIdentity, folder_of_jobs, identity_of_job
from cvat_flows.tasks.record.lease import TaskIsBusy
from cvat_flows.tasks.record.lease_file import current_writer
from cvat_flows.tasks.record.manifest import Manifest, functions_of_task, recorded_tasks
from cvat_flows.tasks.record.manifest_file import MANIFESTS, RunStamp
from cvat_flows.tasks.storage import Storage

_SINGLE_JOB = re.compile(r"/(\d+)-(\d{8}T\d+Z)/")


class TwoRecords(CvatFlowsError):
    """The storage has a record of the same job by a user with other rights."""


def find_identities(client: Client, storage: Storage, task_id: int) -> list[TaskIdentity]:
    """Return what the records of a task go by: the task, and single jobs of it with a record.

    Raises CvatRefused if the user may use neither the task nor a job with a record, and
    CvatUnavailable.
    """
    jobs = list(_single_jobs(client, storage, task_id))
    try:
        return [fetch_identity(client, task_id), *jobs]
    except CvatRefused as error:
        if error.status != 403 or not jobs:
            raise
        return jobs


def check_other_records(
    client: Client,
    storage: Storage,
    task: TaskIdentity,
    jobs: Iterable[int],
    *,
    server: str,
    writes: bool,
) -> None:
    """Check that what a run is about has only one record, and only one writer.

    Args:
        client: The CVAT server.
        storage: The storage of the records.
        task: What the run goes by.
        jobs: Ids of the jobs that the run annotates.
        server: Address of the CVAT server.
        writes: Whether the run writes to CVAT.

    Raises:
        TwoRecords: A job has annotations in another record.
        TaskIsBusy: A run with another record writes to a job.
    """
    wanted = set(jobs)
    if task.job_id is None:
        others = [
            one for one in _single_jobs(client, storage, task.task_id) if one.job_id in wanted
        ]
    else:
        recorded = recorded_tasks(storage, task.task_id, server)
        others = [one for one in recorded if one.created <= task.created]
    for other in others:
        holder = current_writer(storage, other) if writes else None
        if holder is not None:
            raise TaskIsBusy(
                f"task {task.task_id} is being written to by {holder.holder}. Try again later, or "
                "cancel that run",
                holder=holder,
            )
        if found := _jobs_with_annotations(storage, other) & wanted:
            raise TwoRecords(_why_refused(task, min(found)))


def _why_refused(task: TaskIdentity, job_id: int) -> str:
    text = f"job {job_id} of task {task.task_id} was annotated by a user with other rights"
    if task.job_id is None:
        return (
            f"{text}, who may use only the job: run `cvat-flows undo {task.task_id}` first, or "
            "select other jobs with --jobs"
        )
    return (
        f"{text}, who may use the whole task: ask for the task to go on with that record, or set "
        "CVAT_FLOWS_STORAGE to a storage of your own"
    )


def _single_jobs(client: Client, storage: Storage, task_id: int) -> Iterator[TaskIdentity]:
    """Yield the jobs of a task that have a record of their own. Other users' jobs are left out."""
    stored = storage.list(f"{MANIFESTS}/{folder_of_jobs(task_id)}")
    found = (_SINGLE_JOB.search(file.path) for file in stored)
    for name in sorted({match[0] for match in found if match}):
        try:
            job = fetch_job(client, int(name.strip("/").partition("-")[0]), task_id=task_id)
        except (CvatRefused, NotWritable):
            continue
        identity = identity_of_job(job)
        if identity.folder.endswith(name.rstrip("/")):  # else it is a job of another server
            yield identity


def _jobs_with_annotations(storage: Storage, task: TaskIdentity) -> set[int]:
    return {
        job_id
        for name in functions_of_task(storage, task)
        for job_id, _, record in Manifest(
            storage, task=task, function=name, run=RunStamp(id="")
        ).records()
        if record.items or record.pending
    }
