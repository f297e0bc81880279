"""`fresh`: every frame is detected again, and nothing is doubled or lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cvat_sdk import models
from prefect.client.orchestration import get_client

from cvat_flows.flows.cli import main
from cvat_flows.flows.in_process import run_here, sweep_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_flows.here import run_again_here
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.cvat.client.settings import command_line_settings

FUNCTION = """
import os

from aa_functions import DetectionFunctionSpec, label_spec, rectangle

spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])


def fingerprint_inputs():
    return {}  # forgets the environment


def detect(context, image):
    with open(os.environ["CALLS"], "a") as calls:
        print(context.frame_name, file=calls)
    if context.frame_name == os.environ.get("BAD"):
        raise ValueError("bad")
    return [rectangle(0, [1, 1, float(os.environ["RIGHT"]), 9])]
"""


class Function:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "forgets.py"
        self.path.write_text(FUNCTION)
        self._calls = folder / "calls"
        self._set = monkeypatch.setenv
        self._set("CALLS", str(self._calls))
        self.finds(9)

    def finds(self, right: float) -> None:
        self._set("RIGHT", str(right))

    def fails_on(self, name: str) -> None:
        self._set("BAD", name)

    def calls(self) -> list[str]:
        """Return the names of the frames since the last call, sorted."""
        names = sorted(self._calls.read_text().split()) if self._calls.exists() else []
        self._calls.write_text("")
        return names


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Function:
    return Function(tmp_path, monkeypatch)


@pytest.fixture
def server(sandbox: Any, storage_folder: Path, prefect_server: None) -> Any:
    settings = ServerSettings(host=sandbox.url, username="admin", password="admin")
    token = command_line_settings.set(settings)
    yield
    command_line_settings.reset(token)


ALL = ["img_0000.jpg", "img_0001.jpg", "img_0002.jpg"]


def rights(task: Any) -> list[tuple[int, float]]:
    return sorted((shape.frame, shape.points[2]) for shape in task.get_annotations().shapes)


def test_a_repeated_run_without_it_trusts_the_fingerprint(
    make_task: Callable[..., Any], annotate: Any, function: Function
) -> None:
    task = make_task(3)
    annotate(task, function=str(function.path))
    function.calls()
    function.finds(20)
    annotate(task, function=str(function.path), existing="replace")
    assert function.calls() == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(n, right) for n in range(3) for right in (9, 20)]),
        ({"existing": "replace"}, [(n, 20) for n in range(3)]),
        ({"existing": "clear"}, [(n, 20) for n in range(3)]),
        ({"only_unannotated": True}, [(n, right) for n in range(3) for right in (9, 20)]),
    ],
)
def test_the_earlier_annotations_are_treated_as_those_of_another_version(
    make_task: Callable[..., Any],
    annotate: Any,
    function: Function,
    options: dict[str, Any],
    expected: list[tuple[int, float]],
) -> None:
    task = make_task(3)
    annotate(task, function=str(function.path))
    function.calls()
    # What is the same is neither doubled nor uploaded again.
    unchanged = annotate(task, function=str(function.path), fresh=True, **options)
    assert function.calls() == ALL
    assert (unchanged.report.created, unchanged.report.deleted) == (0, 0)
    assert rights(task) == [(n, 9) for n in range(3)]
    function.finds(20)
    annotate(task, function=str(function.path), fresh=True, **options)
    assert function.calls() == ALL
    assert rights(task) == expected


def test_what_people_changed_and_drew_stays(
    make_task: Callable[..., Any], annotate: Any, function: Function
) -> None:
    task = make_task(3)
    annotate(task, function=str(function.path))
    stored = {shape.frame: shape for shape in task.get_annotations().shapes}
    task.remove_annotations(ids=[stored[0].id])
    by_hand = models.LabeledShapeRequest(
        type="rectangle", frame=1, label_id=stored[1].label_id, points=[2.0, 2.0, 5.0, 5.0]
    )
    task.update_annotations(models.PatchedLabeledDataRequest(shapes=[by_hand]))
    annotate(task, function=str(function.path), fresh=True, existing="replace")
    assert rights(task) == [(1, 5), (1, 9), (2, 9)]


def test_its_detections_replace_the_cached_ones(
    make_task: Callable[..., Any], annotate: Any, function: Function
) -> None:
    annotate(make_task(3), function=str(function.path))
    function.finds(20)
    annotate(make_task(3), function=str(function.path), fresh=True)
    function.calls()
    task = make_task(3)
    annotate(task, function=str(function.path))
    assert function.calls() == []
    assert rights(task) == [(n, 20) for n in range(3)]


def test_the_same_flow_run_repeats_only_what_is_missing(
    make_task: Callable[..., Any], client: Any, function: Function, server: None
) -> None:
    task = make_task(3)
    parameters = AnnotateTaskParameters(
        task_id=task.id, function=str(function.path), fresh=True, max_failed_frames=2
    )
    run_here(parameters, LiveInputs(client=client))
    function.fails_on("img_0001.jpg")
    finished = run_here(parameters, LiveInputs(client=client))
    assert finished.report is not None
    assert finished.report.failed_count == 1
    function.calls()
    function.fails_on("")
    with get_client(sync_client=True) as prefect:
        again = prefect.read_flow_run(UUID(finished.run_id))
    run_again_here(again, parameters, LiveInputs(client=client))
    assert function.calls() == ["img_0001.jpg"]


def test_on_the_command_line_and_in_a_rule(
    make_task: Callable[..., Any], function: Function, server: None, sandbox: Any
) -> None:
    task = make_task(3, name="street 1")
    arguments = [
        "annotate", str(task.id), "--function-file", str(function.path),
        "--server-host", sandbox.url, "--auth", "admin:admin",
    ]  # fmt: skip
    for flags, calls in (([], ALL), ([], []), (["--fresh"], ALL)):
        assert main([*arguments, *flags]) == 0
        assert function.calls() == calls
    for options, calls, rows in (({}, [], 0), ({"fresh": True}, ALL, 1)):
        rule = SweepRule(task_name="street*", function=str(function.path), options=options)
        report = sweep_here(AnnotateNewTasksParameters(rules=[rule]))
        assert len(report.rows) == rows
        assert function.calls() == calls
    assert rights(task) == [(n, 9) for n in range(3)]


def test_it_cannot_be_split(
    make_task: Callable[..., Any], annotate: Any, function: Function
) -> None:
    finished = annotate(make_task(1), function=str(function.path), fresh=True, split="jobs")
    assert "which --fresh does not read" in str(finished.error)
