"""Fetch a CVAT job, its frames, and when it was last changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.answers import read_answer
from cvat_flows.tasks.cvat.client.http import get, get_json
from cvat_flows.tasks.cvat.client.retry import RetryPolicy
from cvat_flows.tasks.model.errors import CvatFlowsError

JOB_FIELDS = ("task_id", "type", "start_frame", "stop_frame", "created_date", "updated_date")
"""Fields that CVAT always shows of a job."""
_SHORT = RetryPolicy(read_timeout=20.0, transfer_timeout=20.0, max_wait=5.0, max_attempts=2)


class NotWritable(CvatFlowsError):
    """Annotations must not be uploaded to this CVAT job."""


@frozen(kw_only=True)
class WritableJob:
    """A job to which annotations may be uploaded."""

    frames: Collection[int]
    """The frame numbers that it contains. CVAT does not check them when annotations are written."""
    updated: str
    """When it was last changed, as CVAT writes it."""


def fetch_job(client: Client, job_id: int, *, task_id: int | None = None) -> Any:
    """Fetch a job as CVAT's JSON.

    Raises CvatRefused and CvatUnavailable, and NotWritable if the job is not one of `task_id`.
    """
    job = get_json(client, f"/api/jobs/{job_id}", subject=f"job {job_id}", fields=JOB_FIELDS)
    if task_id not in (None, job["task_id"]):
        raise NotWritable(
            f"job {job_id} belongs to task {job['task_id']}, not to task {task_id}; check the ids"
        )
    return job


def fetch_writable_job(
    client: Client, task_id: int, job_id: int, *, ground_truth: bool
) -> WritableJob:
    """Fetch a job before annotations are written to it.

    Raises NotWritable if the job belongs to another task, if it is neither an annotation job nor
    the ground-truth job, or if it is the ground-truth job and `ground_truth` is False.
    """
    job = fetch_job(client, job_id, task_id=task_id)
    updated = str(job["updated_date"])
    whole = WritableJob(frames=range(job["start_frame"], job["stop_frame"] + 1), updated=updated)
    if job["type"] == "annotation" or job.get("parent_job_id"):
        return whole
    if job["type"] != "ground_truth":
        raise NotWritable(
            f"job {job_id} has type {job['type']!r}; annotations can only be uploaded to jobs of "
            "type 'annotation'"
        )
    if not ground_truth:
        raise NotWritable(
            f"job {job_id} holds the ground truth of task {task_id}; use --include-ground-truth "
            "to upload to it"
        )
    meta = get_json(
        client,
        f"/api/jobs/{job_id}/data/meta",
        subject=f"the data of job {job_id}",
        fields=["frames"],
    )
    included = meta.get("included_frames")
    if included is None:
        return whole
    return WritableJob(frames=frozenset(included), updated=updated)


def frames_of_job(
    client: Client, task_id: int, job_id: int, *, ground_truth: bool
) -> Collection[int]:
    """Return the frame numbers that the job contains. Raises as `fetch_writable_job` does."""
    return fetch_writable_job(client, task_id, job_id, ground_truth=ground_truth).frames


def fetch_job_updated(client: Client, job_id: int) -> str:
    """Fetch when a job was last changed, as CVAT writes it, with two short attempts.

    Raises CvatRefused and CvatUnavailable.
    """
    subject = f"job {job_id}"
    answer = get(client, f"/api/jobs/{job_id}", subject=subject, policy=_SHORT)
    return str(read_answer(answer.body, subject=subject, fields=JOB_FIELDS)["updated_date"])
