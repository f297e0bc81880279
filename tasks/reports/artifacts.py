"""Write reports to the Prefect UI. If that fails, a warning is logged.

Without a Prefect server, nothing is written. `_sync` is needed because Prefect returns a coroutine
to a caller with an event loop, such as a notebook.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from cvat_flows.tasks.engine.current import current_engine, run_logger
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import escape_markdown, host_slug
from cvat_flows.tasks.reports.failed_frames import FailedFrame, stored_size
from cvat_flows.tasks.reports.frame_page import frame_markdown
from cvat_flows.tasks.reports.run_pictures import RunPictures

Value = TypeVar("Value")


def artifact_key(media: TaskMedia, kind: str) -> str:
    """Return the key under which Prefect keeps the history of a kind of report of a CVAT task."""
    return f"cvat-task-{media.task_id}-{kind}-{host_slug(media.host)}"


def add_markdown(markdown: str, *, key: str | None = None, description: str = "") -> UUID | None:
    """Add a markdown artifact to the current run. Returns its id, or None if that failed."""
    return _try(
        "a report",
        lambda: _prefect().create_markdown_artifact(
            markdown, key=key, description=description or None, _sync=True
        ),
    )


def add_progress_bar(description: str) -> UUID | None:
    """Add a progress bar to the current run. Returns its id, or None if that failed."""
    return _try(
        "the progress",
        lambda: _prefect().create_progress_artifact(0.0, description=description, _sync=True),
    )


def update_progress_bar(bar: UUID | None, percent: float, description: str) -> None:
    """Set the value and description of a progress bar."""
    if bar is not None:
        _try(
            "the progress",
            lambda: _prefect().update_progress_artifact(bar, percent, description, _sync=True),
        )


def last_description(key: str) -> str | None:
    """Return the description of the latest artifact with a key."""
    found = _try("an earlier report", lambda: _prefect().Artifact.get(key, _sync=True))
    return getattr(found, "description", None)


def show_failed_frame(pictures: RunPictures, outcome: Outcome) -> None:
    """Add the page of a failed frame to the current task run, if there is room for it."""
    if outcome.failure is None or not pictures.failed.room:
        return
    drawn = pictures.draw_failure(outcome)
    thumbnail, picture = drawn or (None, None)
    pictures.failed.add(
        FailedFrame(
            number=outcome.frame.number,
            thumbnail=thumbnail,
            task_run_id=_task_run_id(),
        )
    )
    pages = (
        frame_markdown(
            outcome,
            outcome.failure,
            pictures.media,
            pictures.reproduction,
            picture=None if brief else picture,
            brief=brief,
        )
        for brief in (False, True)
    )
    for page in pages:
        if pictures.failed.reserve(stored_size(page)):
            failure = f"{outcome.failure.step} {outcome.frame}: {outcome.failure.error}"
            add_markdown(page, description=escape_markdown(failure, 300))
            return


def _prefect() -> Any:
    """Import Prefect's artifacts. A run without a server never needs them."""
    from prefect import artifacts

    return artifacts


def _task_run_id() -> str | None:
    if not current_engine().is_recorded:
        return None
    from prefect.runtime import task_run

    return str(task_run.id) if task_run.id else None


def _try(subject: str, call: Callable[[], Value]) -> Value | None:
    """Call, and log a warning if it fails: a report must never cost annotations."""
    if not current_engine().is_recorded:
        return None
    try:
        return call()
    except Exception as error:
        run_logger().warning("%s could not be stored in Prefect: %s", subject, error)
        return None
