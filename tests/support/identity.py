"""The identity of a CVAT task that a test makes up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cvat_flows.tasks.model.identity import TaskIdentity


def task_number(task_id: int) -> TaskIdentity:
    return TaskIdentity(task_id=task_id, created=datetime(2026, 1, 1, tzinfo=UTC))


def identity_of(task: Any) -> TaskIdentity:
    """Return the identity of a task of the SDK."""
    return TaskIdentity(task_id=task.id, created=task.created_date)
