"""The events of CVAT that show that a task has its data."""

from __future__ import annotations

IMPORT_COMPLETED = "completed:request[create:task]"
"""CVAT has imported a task's data, or failed to. Servers since 2.73 have it."""
TASK_UPDATED = "update:task"
"""Anything about a task has changed. Each change of its annotations sends it, too."""
