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
    """In UTC."""

    @property
    def folder(self) -> str:
        """A relative path for files about the task: `task-5/20261130T191851123456Z`."""
        return f"{folder_of_number(self.task_id)}/{self.created:%Y%m%dT%H%M%S%fZ}"

    def __str__(self) -> str:
        return f"task {self.task_id}, created {self.created:%Y-%m-%d %H:%M:%S} UTC"


def folder_of_number(task_id: int) -> str:
    """Return the folder of all tasks with this id, on any server."""
    return f"task-{task_id}"


def identity_of_row(task: Mapping[str, Any]) -> TaskIdentity:
    """Return the identity of a task, from CVAT's JSON."""
    return TaskIdentity(task_id=task["id"], created=parse_date(task["created_date"]))


def parse_date(text: str) -> datetime:
    """Read a date of CVAT's JSON. Without a time zone it is UTC."""
    date = datetime.fromisoformat(text)
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
