"""Read a CVAT task with the rights that the user has: to the task, or to one job of it only."""

from __future__ import annotations

from collections.abc import Collection

from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.client.http import get_json
from cvat_flows.tasks.cvat.job import NotWritable, fetch_job
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.cvat.task import UnsupportedMedia, fetch_media, host_of
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.identity import identity_of_job, parse_date
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import JobRange, TaskMedia


class OneJobAtATime(CvatFlowsError):
    """The user may use single jobs of the task only, and named several."""


def read_media(client: Client, task_id: int, jobs: Collection[int] | None = None) -> TaskMedia:
    """Fetch the frames and jobs of a task. Without a right to the task: those of the one job.

    CVAT lets the assignee of a job read and write the job, but nothing of its task.

    Args:
        client: The CVAT server.
        task_id: Id of the task.
        jobs: Ids of the selected jobs; None for all.

    Raises:
        OneJobAtATime: Several jobs are selected, and the user may not use the task.
        NotWritable: The job is not one of the task, or holds its ground truth.
        CvatFlowsError: The errors of `fetch_media`.
    """
    try:
        return fetch_media(client, task_id)
    except CvatRefused as error:
        if error.status != 403:
            raise
        if not jobs:
            raise CvatRefused(
                f"{error}. If only a job of it is yours, name the job: --jobs ID", status=403
            ) from error
    if len(set(jobs)) > 1:
        raise OneJobAtATime(
            f"--jobs: you may not use task {task_id} itself, only jobs of it, so annotate them one "
            "at a time"
        )
    (job_id,) = set(jobs)
    return _media_of_job(client, task_id, job_id)


def read_labels(client: Client, media: TaskMedia) -> tuple[Label, ...]:
    """Fetch the labels of a task. Raises CvatRefused and CvatUnavailable."""
    if media.identity.job_id is not None:
        return fetch_labels(client, job_id=media.identity.job_id)
    return fetch_labels(client, task_id=media.task_id)


def _media_of_job(client: Client, task_id: int, job_id: int) -> TaskMedia:
    job = fetch_job(client, job_id, task_id=task_id)
    if job.get("dimension") == "3d":
        raise UnsupportedMedia(
            f"job {job_id} holds 3D point clouds; only jobs with images or video can be annotated"
        )
    if job["type"] == "ground_truth":
        raise NotWritable(
            f"job {job_id} holds the ground truth of task {task_id}; to annotate it, a user needs "
            "the task"
        )
    meta = get_json(
        client,
        f"/api/jobs/{job_id}/data/meta",
        subject=f"the data of job {job_id}",
        fields=["frames", "deleted_frames", "chunk_size"],
    )
    frames = meta["frames"]
    own = JobRange(id=job_id, first=job["start_frame"], last=job["stop_frame"])
    return TaskMedia(
        host=host_of(client),
        identity=identity_of_job(job),
        updated=parse_date(job["updated_date"]),
        name=job.get("task_name") or f"job {job_id}",
        size=own.last + 1,
        first=own.first,
        chunk_size=meta["chunk_size"],
        chunk_type=job["data_original_chunk_type"],
        data_id=None,
        chunks_updated_date=str(meta.get("chunks_updated_date") or ""),
        project_name=job.get("project_name"),
        jobs=(own,),
        deleted_frames=frozenset(meta["deleted_frames"] or ()),
        names=tuple(str(row["name"]) for row in frames),
        sizes=tuple((int(row.get("width") or 0), int(row.get("height") or 0)) for row in frames),
    )
