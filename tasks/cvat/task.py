"""Fetch a CVAT task's frames and jobs, and find out which frames must not be annotated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from cvat_sdk import Client

from cvat_flows.tasks.cvat.client.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.client.http import get_all_pages, get_json
from cvat_flows.tasks.cvat.job import fetch_job
from cvat_flows.tasks.model.credentials import without_user
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.identity import TaskIdentity, identity_of_row, parse_date
from cvat_flows.tasks.model.media import JobRange, JobState, TaskMedia
from cvat_flows.tasks.model.text import on_one_line

TASK_FIELDS = ("id", "name", "created_date", "updated_date")
"""Fields that CVAT always shows of a task."""


class TaskHasNoData(CvatFlowsError):
    """The CVAT task exists, but nobody has uploaded images or a video to it."""


class ImportRunning(CvatFlowsError):
    """CVAT is still importing the task's data."""


class ImportFailed(CvatFlowsError):
    """CVAT failed to import the task's data. Such a task cannot be repaired."""


class UnsupportedMedia(CvatFlowsError):
    """The task does not hold images or video."""


def fetch_media(client: Client, task_id: int) -> TaskMedia:
    """Fetch a task's frames and jobs. This takes three requests, and more for hundreds of jobs.

    Raises TaskHasNoData, ImportRunning, ImportFailed, UnsupportedMedia, CvatRefused and
    CvatUnavailable.
    """
    subject = f"task {task_id}"
    task = _fetch_task(client, task_id)
    if task.get("dimension") == "3d":
        raise UnsupportedMedia(
            f"{subject} holds 3D point clouds; only tasks with images or video can be annotated"
        )
    if not task.get("size") or not task.get("data_chunk_size"):
        raise _no_frames_error(client, task, subject)
    meta = get_json(
        client,
        f"/api/tasks/{task_id}/data/meta",
        subject=f"the data of {subject}",
        fields=["frames", "deleted_frames"],
    )
    if not meta["frames"]:
        raise CvatUnavailable(
            f"the data of {subject}: CVAT lists no frames, although the task has {task['size']:,}; "
            "run this again later"
        )
    jobs = _fetch_jobs(client, task, subject)
    honeypots: frozenset[int] = frozenset()
    if task.get("validation_mode") == "gt_pool":
        layout = get_json(
            client,
            f"/api/tasks/{task_id}/validation_layout",
            subject=f"the validation set of {subject}",
            fields=["honeypot_frames"],
        )
        honeypots = frozenset(layout.get("honeypot_frames") or ())
    return build_media(task, meta, jobs, host=host_of(client), honeypots=honeypots)


def host_of(client: Client) -> str:
    """Return the address of a client's server, without a user."""
    return without_user(client.api_map.host.rstrip("/"))


def fetch_identity(client: Client, task_id: int) -> TaskIdentity:
    """Fetch what identifies a task. Raises CvatRefused and CvatUnavailable."""
    return identity_of_row(_fetch_task(client, task_id))


def fetch_updated(client: Client, task: TaskIdentity) -> datetime:
    """Fetch when a task was last changed, by CVAT's clock. Raises as `fetch_identity` does.

    If the user may use only one job of the task: when the job was.
    """
    if task.job_id is not None:
        return parse_date(fetch_job(client, task.job_id)["updated_date"])
    return parse_date(_fetch_task(client, task.task_id)["updated_date"])


def _fetch_task(client: Client, task_id: int) -> Any:
    return get_json(client, f"/api/tasks/{task_id}", subject=f"task {task_id}", fields=TASK_FIELDS)


def build_media(
    task: Mapping[str, Any],
    meta: Mapping[str, Any],
    jobs: Collection[Mapping[str, Any]],
    *,
    host: str,
    honeypots: Collection[int] = (),
) -> TaskMedia:
    """Combine CVAT's answers about a task, its data and its jobs."""
    has_honeypots = task.get("validation_mode") == "gt_pool"
    ground_truth = [row for row in jobs if row["type"] == "ground_truth"]
    frames = meta["frames"] or []
    return TaskMedia(
        host=without_user(host.rstrip("/")),
        identity=identity_of_row(task),
        updated=parse_date(task["updated_date"]),
        name=task["name"],
        size=task["size"],
        chunk_size=meta.get("chunk_size") or task["data_chunk_size"],
        chunk_type=task["data_original_chunk_type"],
        data_id=task.get("data"),
        chunks_updated_date=str(meta.get("chunks_updated_date") or ""),
        project_name=task.get("project_name"),
        jobs=_sorted_ranges(row for row in jobs if row["type"] == "annotation"),
        replica_jobs=_sorted_ranges(row for row in jobs if _is_replica(row)),
        pool_job=_job_range(ground_truth[0]) if has_honeypots and ground_truth else None,
        ground_truth_job_id=ground_truth[0]["id"] if ground_truth and not has_honeypots else None,
        deleted_frames=frozenset(meta.get("deleted_frames") or ()),
        honeypot_frames=frozenset(honeypots),
        names=tuple(str(row["name"]) for row in frames),
        sizes=tuple((int(row.get("width") or 0), int(row.get("height") or 0)) for row in frames),
    )


def _is_replica(row: Mapping[str, Any]) -> bool:
    """Return whether a job is a copy in which another person annotates, for a consensus."""
    return row["type"] not in ("annotation", "ground_truth") and bool(row.get("parent_job_id"))


def _sorted_ranges(rows: Iterable[Mapping[str, Any]]) -> tuple[JobRange, ...]:
    ranges = map(_job_range, rows)
    return tuple(sorted(ranges, key=lambda job: (job.first, job.last, job.id)))


def _job_range(row: Mapping[str, Any]) -> JobRange:
    return JobRange(
        id=row["id"],
        first=row["start_frame"],
        last=row["stop_frame"],
    )


def fetch_job_states(client: Client, task_id: int) -> tuple[JobState, ...]:
    """Fetch how far people are with the jobs of a task. Raises CvatRefused and CvatUnavailable."""
    task = _fetch_task(client, task_id)
    rows = _fetch_jobs(client, task, f"task {task_id}")
    return tuple(
        JobState(
            id=row["id"],
            type=row["type"],
            first=row["start_frame"],
            last=row["stop_frame"],
            stage=str(row.get("stage") or ""),
            state=str(row.get("state") or ""),
            updated=str(row.get("updated_date") or ""),
            assignee=str((row.get("assignee") or {}).get("username", "")),
        )
        for row in sorted(rows, key=lambda row: (row["start_frame"], row["id"]))
    )


def fetch_organization(client: Client, task_id: int) -> int | str:
    """Fetch which organization's lists contain what belongs to a task; "" for the personal one.

    Raises CvatRefused and CvatUnavailable.
    """
    return _organization_of(_fetch_task(client, task_id))


def _organization_of(task: Mapping[str, Any]) -> int | str:
    """Return the organization of a task. CVAT lists what belongs to one organization only."""
    found: int | str | None = task.get("organization_id") or task.get("organization")
    return "" if found is None else found


def _fetch_jobs(client: Client, task: Mapping[str, Any], subject: str) -> list[Mapping[str, Any]]:
    return list(
        get_all_pages(
            client,
            "/api/jobs",
            subject=f"the jobs of {subject}",
            fields=["id", "type", "start_frame", "stop_frame"],
            organization=_organization_of(task),
            task_id=task["id"],
        )
    )


def _no_frames_error(client: Client, task: Mapping[str, Any], subject: str) -> CvatFlowsError:
    """Return an error that says why the task has no frames.

    Only the background request of its import tells.
    """
    empty = TaskHasNoData(
        f"{subject} ({task['name']!r}) has no data yet: upload images or a video to it in CVAT, "
        "then run this again"
    )
    if "size" not in task:
        return empty
    try:
        requests = [
            row
            for row in get_all_pages(
                client,
                "/api/requests",
                subject=f"the import of {subject}",
                fields=["status", "operation"],
                task_id=task["id"],
            )
            if str(row["operation"]["type"]).startswith("create")
            and row["operation"].get("task_id") == task["id"]
        ]
    except CvatRefused:
        # CVAT shows an import only to the user who started it.
        return empty
    if not requests:
        return empty
    latest = max(requests, key=lambda row: str(row.get("created_date") or ""))
    if latest["status"] == "failed":
        return ImportFailed(
            f"{subject} ({task['name']!r}) has no frames because CVAT could not import its data "
            f"({import_failure_reason(latest)}): create a new task with readable files, this one "
            "cannot be repaired"
        )
    return ImportRunning(
        f"{subject} ({task['name']!r}) is still being imported by CVAT: wait until its preview "
        "appears in CVAT, then run this again"
    )


def import_failure_reason(request: Mapping[str, Any]) -> str:
    """Return why an import failed: the last line of the traceback in its `/api/requests` row."""
    lines = str(request.get("message") or "").strip().splitlines()
    return on_one_line((lines or ["no reason given"])[-1], 300)
