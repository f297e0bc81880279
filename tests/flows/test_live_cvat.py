"""The most important runs on a live CVAT: images, failures, videos, the SDK driver, sweep, undo.

The same tests run on the sandbox, and, marked `cvat`, on the server that CVAT_HOST, CVAT_USER and
CVAT_PASSWORD name. They make their own tasks and projects there, touch no others, and remove them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cvat_sdk import Client, models

from cvat_flows import annotate_task
from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from cvat_flows.flows.finished import Finished
from cvat_flows.flows.in_process import sweep_here
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.server import ServerSettings, settings_from_environment
from tests.flows.conftest import frames_of
from tests.flows.rich_function import RICH_SPEC, content, detect_everything, rich_labels
from tests.tasks.fetch.film import film

pytestmark = pytest.mark.usefixtures("settings", "storage_folder", "prefect_server")

Annotate = Callable[..., Finished]


@pytest.fixture(scope="module", params=["sandbox", pytest.param("live", marks=pytest.mark.cvat)])
def settings(request: pytest.FixtureRequest) -> Iterator[ServerSettings]:
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "sandbox":
            sandbox: SandboxProcess = request.getfixturevalue("sandbox")
            user, password = sandbox.admin
            environment.setenv("CVAT_HOST", sandbox.url)
            environment.setenv("CVAT_USER", user)
            environment.setenv("CVAT_PASSWORD", password)
        named = settings_from_environment()
        assert named is not None
        yield named


@pytest.fixture(scope="module")
def client(settings: ServerSettings) -> Client:
    client = connect(settings)
    client.config.status_check_period = 0.5
    return client


def test_second_run_annotates_only_failed_frames(
    make_task: Callable[..., Any], annotate: Annotate
) -> None:
    task = make_task(12, segment_size=5, data={"chunk_size": 2})
    first = annotate(task, function_parameters={"fail": "img_0004.jpg"})
    assert first.report.count("failed") == 1
    assert frames_of(task) == [0, 1, 2, 3, *range(5, 12)]
    before = {shape.id for shape in task.get_annotations().shapes}
    second = annotate(task)
    assert second.report.count("failed") == 0
    assert frames_of(task) == list(range(12))
    assert before < {shape.id for shape in task.get_annotations().shapes}


def test_a_second_run_and_an_undo(
    make_task: Callable[..., Any], annotate: Annotate, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(4)
    by_hand = models.LabeledShapeRequest(
        type="rectangle", frame=1, label_id=task.get_labels()[0].id, points=[1.0, 2.0, 3.0, 4.0]
    )
    task.update_annotations(models.PatchedLabeledDataRequest(shapes=[by_hand]))
    annotate(task)
    once = content(task)
    annotate(task)
    assert content(task) == once
    assert frames_of(task) == [0, 1, 1, 2, 3]
    assert main(["undo", str(task.id), "--yes"]) == 0, capsys.readouterr()
    assert frames_of(task) == [1]


def test_every_kind_of_shape_is_stored_as_by_the_sdk(
    client: Client, make_task: Callable[..., Any]
) -> None:
    import cvat_sdk.auto_annotation as sdk

    function = SimpleNamespace(spec=RICH_SPEC, detect=detect_everything)
    tasks = [make_task(3, rich_labels(), segment_size=2) for _ in range(2)]
    for driver, task in zip((sdk.annotate_task, annotate_task), tasks, strict=True):
        driver(client, task.id, function, allow_unmatched_labels=True)
    theirs, ours = map(content, tasks)
    assert ours == theirs
    assert len(ours) == 3 * 11


def test_a_video(make_task: Callable[..., Any], annotate: Annotate, tmp_path: Path) -> None:
    task = make_task(images=[film(tmp_path / "clip.mp4", 14)], data={"chunk_size": 4})
    annotate(task)
    assert frames_of(task) == list(range(14))


@pytest.fixture
def project(client: Client) -> Iterator[Any]:
    made = client.projects.create(
        models.ProjectWriteRequest(
            name=f"cvat-flows test {uuid.uuid4()}", labels=[models.PatchedLabelRequest(name="car")]
        )
    )
    yield made
    made.remove()


def test_a_sweep_over_a_project(
    project: Any, make_task: Callable[..., Any], function_file: Path
) -> None:
    task = make_task(3, project_id=project.id)
    rule = SweepRule(projects=[project.name], function=str(function_file))
    first = sweep_here(AnnotateNewTasksParameters(rules=[rule]))
    assert [(row.task.id, row.outcome) for row in first.rows] == [(task.id, "annotated")]
    second = sweep_here(AnnotateNewTasksParameters(rules=[rule]))
    assert (second.rows, second.done) == ([], 1)
    assert frames_of(task) == [0, 1, 2]
