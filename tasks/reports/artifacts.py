"""Put reports into the Prefect UI. What cannot be written there is a warning in the log.

`_sync`: without it Prefect gives a coroutine to a caller that has an event loop, as notebooks do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from prefect.artifacts import (
    Artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger
from prefect.runtime import task_run

from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import host_slug
from cvat_flows.tasks.reports.failed_frames import FailedFrame, frame_markdown, stored_size
from cvat_flows.tasks.reports.run_pictures import RunPictures

Value = TypeVar("Value")


def artifact_key(media: TaskMedia, what: str) -> str:
    """The key under which Prefect keeps the history of a kind of report of a CVAT task."""
    return f"cvat-task-{media.task_id}-{what}-{host_slug(media.host)}"


def put_markdown(markdown: str, *, key: str | None = None, description: str = "") -> UUID | None:
    """Add a markdown artifact to the run that this is called in; None if that failed."""
    put: Any = create_markdown_artifact
    return _try(
        "a report",
        lambda: put(markdown, key=key, description=description or None, _sync=True),
    )


def start_progress(description: str) -> UUID | None:
    """Add a progress bar to the run that this is called in."""
    put: Any = create_progress_artifact
    return _try("the progress", lambda: put(0.0, description=description, _sync=True))


def put_progress(bar: UUID | None, percent: float, description: str) -> None:
    """Move a progress bar."""
    if bar is not None:
        put: Any = update_progress_artifact
        _try("the progress", lambda: put(bar, percent, description, _sync=True))


def last_description(key: str) -> str | None:
    """Description of the latest artifact of a key."""
    get: Any = Artifact.get
    found = _try("an earlier report", lambda: get(key, _sync=True))
    return getattr(found, "description", None)


def show_failed_frame(pictures: RunPictures, outcome: Outcome) -> None:
    """Give the task run that this is called in the page of its failed frame, if there is room."""
    if outcome.failure is None or not pictures.failed.room:
        return
    both = pictures.of_failed(outcome)
    run_id = task_run.id
    pictures.failed.add(
        FailedFrame(
            number=outcome.frame.number,
            thumbnail=both[0] if both else None,
            task_run_id=str(run_id) if run_id else None,
        )
    )
    for picture, brief in ((both[1] if both else None, False), (None, True)):
        page = frame_markdown(
            outcome,
            outcome.failure,
            pictures.media,
            pictures.reproduction,
            picture=picture,
            brief=brief,
        )
        if pictures.failed.take(stored_size(page)):
            put_markdown(page)
            return


def _try(what: str, call: Callable[[], Value]) -> Value | None:
    """Nobody's annotations may be lost because Prefect could not store a report about them."""
    try:
        return call()
    except Exception as error:
        get_run_logger().warning("%s could not be put into Prefect: %s", what, error)
        return None
