"""Tasks that have no frames, or none that can be annotated: what the error says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, models
from cvat_sdk.core.exceptions import BackgroundRequestException

from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.task import (
    ImportFailed,
    ImportRunning,
    TaskHasNoData,
    UnsupportedMedia,
    fetch_media,
)
from tests.tasks.cvat.client.scripted_server import ScriptedServer, json_by_path

DATES = dict.fromkeys(("created_date", "updated_date"), "2026-01-01T00:00:00Z")


def empty_task(client: Client) -> Any:
    return client.tasks.create(
        models.TaskWriteRequest(name="empty", labels=[models.PatchedLabelRequest(name="car")])
    )


def test_a_task_without_data(client: Client) -> None:
    task = empty_task(client)
    with pytest.raises(TaskHasNoData, match=rf"^task {task.id} \('empty'\) has no data yet"):
        fetch_media(client, task.id)
    task.remove()


def test_a_failed_import_says_why(client: Client, tmp_path: Path) -> None:
    task = empty_task(client)
    bad = tmp_path / "bad.png"
    bad.write_text("not an image at all")
    with pytest.raises(BackgroundRequestException):
        task.upload_data([bad])
    with pytest.raises(
        ImportFailed,
        match=rf"^task {task.id} .*UnidentifiedImageError: cannot identify .*create a new task",
    ):
        fetch_media(client, task.id)
    task.remove()


def test_an_unknown_task(client: Client) -> None:
    with pytest.raises(CvatRefused, match=r"^task 999999 does not exist") as caught:
        fetch_media(client, 999_999)
    assert caught.value.status == 404


def test_point_clouds_are_not_supported() -> None:
    task = {"id": 5, "name": "lidar", "dimension": "3d", "size": 3, **DATES}
    with (
        client_of({"/api/tasks/5": task}) as client,
        pytest.raises(UnsupportedMedia, match="task 5 holds 3D point clouds"),
    ):
        fetch_media(client, 5)


@pytest.mark.parametrize(
    ("requests", "error"),
    [
        ([("started", "2026-01-01")], ImportRunning),
        ([("queued", "2026-01-01")], ImportRunning),
        ([("failed", "2026-01-01"), ("queued", "2026-01-02")], ImportRunning),
        ([("queued", "2026-01-01"), ("failed", "2026-01-02")], ImportFailed),
        ([], TaskHasNoData),
    ],
)
def test_the_state_of_the_import_decides_the_error(
    requests: list[tuple[str, str]], error: type[Exception]
) -> None:
    rows = [
        {
            "status": status,
            "message": "",
            "created_date": created,
            "operation": {"type": "create:task", "task_id": 5},
        }
        for status, created in requests
    ]
    rows.append(
        {
            "status": "failed",
            "message": "somebody's export",
            "created_date": "2026-03-03",
            "operation": {"type": "export:dataset", "task_id": 5},
        }
    )
    by_path = {
        "/api/tasks/5": {"id": 5, "name": "new", "dimension": "2d", "size": 0, **DATES},
        "/api/requests": {"results": rows, "next": None},
    }
    with (
        client_of(by_path) as client,
        pytest.raises(error, match=r"^task 5 \('new'\)"),
    ):
        fetch_media(client, 5)


@contextmanager
def client_of(by_path: dict[str, Any]) -> Iterator[Client]:
    """Yield a client of a server with these answers, for states that the sandbox is rarely in."""
    with ScriptedServer() as server:
        server.replies = [json_by_path(by_path)] * 9
        yield Client(server.url, check_server_version=False)
