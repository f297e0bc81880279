"""The order of the steps: annotate one CVAT task, annotate new ones, the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.driver import annotate_task

__all__ = ["annotate_task"]


def __getattr__(name: str) -> Any:
    # Late: Prefect reads its settings when it is imported, and `flows.cli` sets some before.
    if name == "annotate_task":
        from flows.driver import annotate_task

        return annotate_task
    raise AttributeError(f"module 'flows' has no attribute {name!r}")
