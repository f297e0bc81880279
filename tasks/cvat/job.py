"""Fetch a CVAT job and its frames."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.http import get_json
from cvat_flows.tasks.model.errors import CvatFlowsError

JOB_FIELDS = ("task_id", "type", "start_frame", "stop_frame", "created_date", "updated_date")
"""Fields that CVAT always shows of a job."""


class NotWritable(CvatFlowsError):
    """Annotations must not be uploaded to this CVAT job."""


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


def frames_of_job(
    client: Client, task_id: int, job_id: int, *, ground_truth: bool
) -> Collection[int]:
    """Return the frame numbers that the job contains.

    CVAT does not check frame numbers when annotations are written to a job.

    Raises NotWritable if the job belongs to another task, if it is neither an annotation job nor
    the ground-truth job, or if it is the ground-truth job and `ground_truth` is False.
    """
    job = fetch_job(client, job_id, task_id=task_id)
    if job["type"] == "annotation" or job.get("parent_job_id"):
        return range(job["start_frame"], job["stop_frame"] + 1)
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
        return range(job["start_frame"], job["stop_frame"] + 1)
    return frozenset(included)
