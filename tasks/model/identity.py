"""What tells a CVAT task from all others, whatever address its server is reached by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen


@frozen(kw_only=True)
class TaskIdentity:
    """A CVAT task, identified by facts that nobody can change in CVAT.

    Addresses do not identify a server: it can have several, and another one can be installed at the
    same address. Every server counts its tasks from 1. But CVAT records when a task was created, to
    the microsecond.
    """

    task_id: int
    created: datetime
    """In UTC. Of the job, if `job_id` is set."""
    job_id: int | None = None
    """The only job of the task that the user may use. CVAT does not tell such a user when the task
    was created, so the job's date stands for it."""

    @property
    def folder(self) -> str:
        """A relative path for files about the task: `task-5/20261130T191851123456Z`.

        Of a single job: `task-5-jobs/17-20261130T191852654321Z`.
        """
        date = f"{self.created:%Y%m%dT%H%M%S%fZ}"
        if self.job_id is None:
            return f"{folder_of_number(self.task_id)}/{date}"
        return f"{folder_of_jobs(self.task_id)}/{self.job_id}-{date}"

    def __str__(self) -> str:
        what = f"task {self.task_id}" if self.job_id is None else f"job {self.job_id}"
        return f"{what}, created {self.created:%Y-%m-%d %H:%M:%S} UTC"


def folder_of_number(task_id: int) -> str:
    """Return the folder of all tasks with this id, on any server."""
    return f"task-{task_id}"


def folder_of_jobs(task_id: int) -> str:
    """Return the folder of the single jobs of all tasks with this id, on any server."""
    return f"{folder_of_number(task_id)}-jobs"


def identity_of_row(task: Mapping[str, Any]) -> TaskIdentity:
    """Return the identity of a task, from CVAT's JSON."""
    return TaskIdentity(task_id=task["id"], created=parse_date(task["created_date"]))


def identity_of_job(job: Mapping[str, Any]) -> TaskIdentity:
    """Return the identity of a job that the user may use without the task, from CVAT's JSON."""
    return TaskIdentity(
        task_id=job["task_id"], created=parse_date(job["created_date"]), job_id=job["id"]
    )


def parse_date(text: str) -> datetime:
    """Read a date of CVAT's JSON. Without a time zone it is UTC."""
    date = datetime.fromisoformat(text)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
