"""A CVAT task is recognised by facts of its own, not by the address of its server."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, Config, models

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from cvat_flows.flows.in_process import Finished, run_here, sweep_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.model.text import host_slug
from tests.conftest import draw_images
from tests.flows.conftest import frames_of

pytestmark = pytest.mark.usefixtures("storage_folder", "prefect_server")


def connect(url: str) -> Client:
    client = Client(url, config=Config(status_check_period=0.05), check_server_version=False)
    client.login(SandboxProcess.admin)
    return client


def annotate(client: Client, task: Any, function: Path, **options: Any) -> Finished:
    parameters = AnnotateTaskParameters(task_id=task.id, function=str(function), **options)
    return run_here(parameters, LiveInputs(client=client))


def counts(finished: Finished) -> tuple[int, int, int]:
    """Return how many annotations were created, were there already, and were deleted."""
    report = finished.report_or_raise()
    return report.created, report.kept, report.deleted


def new_task(client: Client, folder: Path, count: int) -> Any:
    return client.tasks.create_from_data(
        spec=models.TaskWriteRequest(
            name="street", labels=[models.PatchedLabelRequest(name="car")]
        ),
        resources=draw_images(folder, count),
    )


@pytest.fixture
def by_name(sandbox: SandboxProcess) -> Iterator[Client]:
    """A client that reaches the sandbox by another address than `client`."""
    assert "//127.0.0.1:" in sandbox.url
    with connect(sandbox.url.replace("127.0.0.1", "localhost")) as client:
        yield client


def test_one_server_by_two_addresses(
    client: Client, by_name: Client, make_task: Callable[..., Any], function_file: Path
) -> None:
    task = make_task(3)
    assert counts(annotate(client, task, function_file)) == (3, 0, 0)
    again = annotate(by_name, task, function_file).report_or_raise()
    assert (again.created, again.count("skipped")) == (0, 3)
    assert again.media.task_url == f"{by_name.api_map.host}/tasks/{task.id}"
    other_version = {"function_parameters": {"width": 2.0}, "existing": "replace"}
    assert counts(annotate(by_name, task, function_file, **other_version)) == (3, 0, 3)
    assert frames_of(task) == [0, 1, 2]


def test_undo_and_manifest_by_another_address(
    client: Client,
    by_name: Client,
    make_task: Callable[..., Any],
    function_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = make_task(2)
    annotate(client, task, function_file)
    for name, value in (("HOST", by_name.api_map.host), ("USER", "admin"), ("PASSWORD", "admin")):
        monkeypatch.setenv(f"CVAT_{name}", value)
    assert main(["manifest", str(task.id), "--json"]) == 0
    assert capsys.readouterr().out.count('"state": "annotated"') == 2
    assert main(["undo", str(task.id), "--yes"]) == 0
    assert frames_of(task) == []


def test_cvat_installed_anew_at_the_same_address(
    tmp_path: Path, function_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SandboxProcess(tmp_path / "first") as sandbox, connect(sandbox.url) as client:
        old = new_task(client, tmp_path / "old", 2)
        assert counts(annotate(client, old, function_file)) == (2, 0, 0)
        port = int(sandbox.url.rpartition(":")[2])
    with SandboxProcess(tmp_path / "second", port) as sandbox, connect(sandbox.url) as client:
        new = new_task(client, tmp_path / "new", 3)
        assert (new.id, host_slug(sandbox.url)) == (old.id, host_slug(client.api_map.host))
        assert counts(annotate(client, new, function_file)) == (3, 0, 0)
        assert f"records of another task {old.id}, created" in caplog.text
        assert frames_of(new) == [0, 1, 2]


def test_a_backup_of_cvat_that_is_older_than_the_record(
    tmp_path: Path,
    function_file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox = SandboxProcess(tmp_path / "cvat")
    with sandbox, connect(sandbox.url) as client:
        task = new_task(client, tmp_path / "images", 3)
        annotate(client, task, function_file, frames="0")
    backup = tmp_path / "backup"
    shutil.copytree(tmp_path / "cvat", backup)
    with sandbox, connect(sandbox.url) as client:
        annotate(client, task, function_file)
        assert frames_of(task) == [0, 1, 2]
    _turn_back(backup, task.id)
    with SandboxProcess(backup) as restored, connect(restored.url) as client:
        task = client.tasks.retrieve(task.id)
        assert frames_of(task) == [0]
        sweep = AnnotateNewTasksParameters(
            rules=[SweepRule(function=str(function_file))], dry_run=True
        )
        for name, value in (("HOST", restored.url), ("USER", "admin"), ("PASSWORD", "admin")):
            monkeypatch.setenv(f"CVAT_{name}", value)
        assert [row.outcome for row in sweep_here(sweep).rows] == ["would be annotated"]
        forecast = annotate(client, task, function_file, dry_run=True)
        assert counts(forecast) == (2, 1, 0)
        finished = annotate(client, task, function_file).report_or_raise()
        assert (finished.created, finished.count("skipped")) == (2, 1)
        assert f"task {task.id} is older than the record" in caplog.text
        assert frames_of(task) == [0, 1, 2]
        assert sweep_here(sweep).done == 1
        caplog.clear()
        assert annotate(client, task, function_file).report_or_raise().count("skipped") == 3
        assert "older than the record" not in caplog.text
        # What was there before the backup is still ours.
        replaced = annotate(
            client,
            task,
            function_file,
            existing="replace",
            function_parameters={"width": 2.0},
        )
        assert counts(replaced) == (3, 0, 3)


def _turn_back(folder: Path, task_id: int) -> None:
    """Make the task's last change one of an hour ago."""
    with sqlite3.connect(folder / "sandbox.sqlite") as database:
        where = ("task", task_id)
        query = "SELECT body FROM rows WHERE kind = ? AND id = ?"
        row = json.loads(database.execute(query, where).fetchone()[0])
        row["updated_date"] = row["created_date"].replace("20", "19", 1)
        update = "UPDATE rows SET body = ? WHERE kind = ? AND id = ?"
        database.execute(update, (json.dumps(row).encode(), *where))
    database.close()
