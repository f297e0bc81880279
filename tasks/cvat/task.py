"""Learn what a CVAT task holds: its frames, its jobs, and which frames are not for annotating."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cvat_sdk import Client

from cvat_flows.tasks.cvat.errors import CvatRefused
from cvat_flows.tasks.cvat.http import get_all_pages, get_json
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.media import JobRange, TaskMedia


class TaskHasNoData(CvatFlowsError):
    """The CVAT task is there, but nobody has uploaded anything to it."""


class ImportRunning(CvatFlowsError):
    """CVAT is still importing the task's data."""


class ImportFailed(CvatFlowsError):
    """CVAT could not import the task's data; such a task cannot be repaired (CVAT_FACTS 2)."""


class UnsupportedMedia(CvatFlowsError):
    """The task holds something other than pictures."""


def fetch_media(client: Client, task_id: int) -> TaskMedia:
    """Ask CVAT for a task's frames and jobs: three requests, more for hundreds of jobs.

    Raises TaskHasNoData, ImportRunning, ImportFailed, UnsupportedMedia; CvatRefused and
    CvatUnavailable as any request does.
    """
    what = f"task {task_id}"
    task = get_json(client, f"/api/tasks/{task_id}", what=what)
    if task.get("dimension") == "3d":
        raise UnsupportedMedia(
            f"{what} holds 3D point clouds; only tasks of images or video can be annotated"
        )
    if not task.get("size") or not task.get("data_chunk_size"):
        raise _not_ready(client, task, what)
    meta = get_json(client, f"/api/tasks/{task_id}/data/meta", what=f"the data of {what}")
    rows = _jobs(client, task, what)
    honeypots: frozenset[int] = frozenset()
    if task.get("validation_mode") == "gt_pool":
        layout = get_json(
            client, f"/api/tasks/{task_id}/validation_layout", what=f"the validation set of {what}"
        )
        honeypots = frozenset(layout.get("honeypot_frames") or ())
    return media_of(task, meta, rows, host=client.api_map.host, honeypots=honeypots)


def media_of(
    task: Mapping[str, Any],
    meta: Mapping[str, Any],
    jobs: Collection[Mapping[str, Any]],
    *,
    host: str,
    honeypots: Collection[int] = (),
) -> TaskMedia:
    """Put CVAT's answers (task, data meta, rows of jobs) together."""
    pooled = task.get("validation_mode") == "gt_pool"
    ground_truth = [row for row in jobs if row["type"] == "ground_truth"]
    annotation = [_job_range(row) for row in jobs if row["type"] == "annotation"]
    frames = meta["frames"] or []
    return TaskMedia(
        host=host.rstrip("/"),
        task_id=task["id"],
        name=task["name"],
        size=task["size"],
        chunk_size=meta.get("chunk_size") or task["data_chunk_size"],
        mode=task["mode"],
        chunk_type=task["data_original_chunk_type"],
        data_id=task.get("data"),
        chunks_updated_date=str(meta.get("chunks_updated_date") or ""),
        project_id=task.get("project_id"),
        project_name=task.get("project_name"),
        subset=task.get("subset") or "",
        jobs=tuple(sorted(annotation, key=lambda job: (job.first, job.last, job.id))),
        pool_job=_job_range(ground_truth[0]) if pooled and ground_truth else None,
        ground_truth_job_id=ground_truth[0]["id"] if ground_truth and not pooled else None,
        deleted_frames=frozenset(meta.get("deleted_frames") or ()),
        honeypot_frames=frozenset(honeypots),
        names=tuple(str(row["name"]) for row in frames),
        sizes=tuple((int(row.get("width") or 0), int(row.get("height") or 0)) for row in frames),
    )


def _job_range(row: Mapping[str, Any]) -> JobRange:
    return JobRange(
        id=row["id"],
        first=row["start_frame"],
        last=row["stop_frame"],
        stage=str(row.get("stage") or "annotation"),
        state=str(row.get("state") or "new"),
    )


def _organization(task: Mapping[str, Any]) -> int | None:
    return task.get("organization_id") or task.get("organization")


def _jobs(client: Client, task: Mapping[str, Any], what: str) -> list[Mapping[str, Any]]:
    """Rows of the task's jobs. Lists are confined to one organization: name the task's own."""
    organization = _organization(task)
    return list(
        get_all_pages(
            client,
            "/api/jobs",
            what=f"the jobs of {what}",
            organization="" if organization is None else organization,
            task_id=task["id"],
        )
    )


def _not_ready(client: Client, task: Mapping[str, Any], what: str) -> CvatFlowsError:
    """Why the task has no frames. Only the import's request tells (CVAT_FACTS 2)."""
    empty = TaskHasNoData(
        f"{what} ({task['name']!r}) has no data yet: upload images or a video to it in CVAT, "
        "then run this again"
    )
    if "size" not in task:
        return empty
    try:
        requests = [
            row
            for row in get_all_pages(
                client, "/api/requests", what=f"the import of {what}", task_id=task["id"]
            )
            if str(row["operation"]["type"]).startswith("create")
            and row["operation"].get("task_id") == task["id"]
        ]
    except CvatRefused:
        # Somebody else's import: CVAT shows it to its owner only.
        return empty
    if not requests:
        return empty
    latest = max(requests, key=lambda row: str(row.get("created_date") or ""))
    if latest["status"] == "failed":
        return ImportFailed(
            f"{what} ({task['name']!r}) has no frames because CVAT could not import its data "
            f"({import_error(latest)}): make a new task with readable files, this one cannot be "
            "repaired"
        )
    return ImportRunning(
        f"{what} ({task['name']!r}) is still being imported by CVAT: wait until its preview "
        "appears in CVAT, then run this again"
    )


def import_error(request: Mapping[str, Any]) -> str:
    """Why an import failed, from its row of `GET /api/requests`: the last line of a traceback."""
    lines = str(request.get("message") or "").strip().splitlines()
    return (lines or ["no reason given"])[-1][:300]
