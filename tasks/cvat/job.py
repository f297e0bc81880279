"""What has to be known of a CVAT job before annotations are written to it."""

from __future__ import annotations

from collections.abc import Collection

from cvat_sdk import Client

from cvat_flows.tasks.cvat.digest import AttributeDefaults, attribute_defaults
from cvat_flows.tasks.cvat.http import get_all_pages, get_json
from cvat_flows.tasks.model.errors import CvatFlowsError


class NotWritable(CvatFlowsError):
    """The CVAT job is not one that annotations may be uploaded to."""


def frames_of_job(
    client: Client, task_id: int, job_id: int, *, ground_truth: bool
) -> Collection[int]:
    """Frame numbers that the job contains: CVAT does not check them on job-level writes.

    Raises NotWritable if the job is another task's, or of a kind that is not to be written to.
    """
    job = get_json(client, f"/api/jobs/{job_id}", what=f"job {job_id}")
    if job["task_id"] != task_id:
        raise NotWritable(
            f"job {job_id} belongs to task {job['task_id']}, not to task {task_id}: check the ids"
        )
    if job["type"] == "annotation":
        return range(job["start_frame"], job["stop_frame"] + 1)
    if job["type"] != "ground_truth":
        raise NotWritable(
            f"job {job_id} is of type {job['type']!r}: only annotation jobs are uploaded to"
        )
    if not ground_truth:
        raise NotWritable(
            f"job {job_id} holds the ground truth of task {task_id}: it is only written to if "
            "asked for (include_ground_truth)"
        )
    meta = get_json(client, f"/api/jobs/{job_id}/data/meta", what=f"the data of job {job_id}")
    included = meta.get("included_frames")
    if included is None:
        return range(job["start_frame"], job["stop_frame"] + 1)
    return frozenset(included)


def defaults_of_job(client: Client, job_id: int) -> AttributeDefaults:
    """Attribute defaults of the labels that the job's annotations can have."""
    rows = get_all_pages(client, "/api/labels", what=f"the labels of job {job_id}", job_id=job_id)
    return attribute_defaults(rows)
