"""A frame that fails in every run is set aside: no run tries it until something changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cvat_sdk import Client
from prefect.client.orchestration import get_client

from cvat_flows.flows.in_process import run_in_threads
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_flows.here import run_again_here, run_flow
from cvat_flows.flows.run.live import LiveInputs
from tests.flows.conftest import frames_of

MakeTask = Callable[..., Any]

FUNCTION = '''
"""Fails on some images. Which ones is not part of the fingerprint, and neither is the log."""
import os
from types import SimpleNamespace

from aa_functions import DetectionFunctionSpec, label_spec, rectangle


def create(width=1.0):
    def detect(context, image):
        with open(os.environ["CALLS"], "a") as file:
            print(context.frame_name, file=file)
        if context.frame_name in os.environ["FAIL"].split(","):
            raise ValueError(f"failed after {os.urandom(3).hex()} steps")
        return [rectangle(0, [width, 1, 20, 20])]

    return SimpleNamespace(
        spec=DetectionFunctionSpec(labels=[label_spec("car", 0)]), detect=detect
    )
'''


class Annotator:
    """Runs the flow, and tells on which images it called the function."""

    def __init__(self, client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = client
        self.way = run_in_threads
        self.calls = folder / "calls"
        self.function = folder / "fickle.py"
        self.function.write_text(FUNCTION)
        monkeypatch.setenv("CALLS", str(self.calls))
        monkeypatch.setenv("FAIL", "img_0001.jpg")

    def __call__(self, task: Any, **options: Any) -> Any:
        parameters = AnnotateTaskParameters(
            task_id=task.id, **{"function": str(self.function), **options}
        )
        return self._watch(lambda: self.way(parameters, LiveInputs(client=self.client)))

    def retry(self, finished: Any, task: Any) -> Any:
        parameters = AnnotateTaskParameters(task_id=task.id, function=str(self.function))
        with get_client(sync_client=True) as prefect:
            run = prefect.read_flow_run(UUID(finished.run_id))
        return self._watch(lambda: run_again_here(run, parameters, LiveInputs(client=self.client)))

    def _watch(self, run: Callable[[], Any]) -> Any:
        self.calls.write_text("")
        self.finished = run()
        return self.finished

    @property
    def tried(self) -> set[str]:
        return set(self.calls.read_text().split())


@pytest.fixture
def annotate(
    client: Client,
    tmp_path: Path,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Annotator:
    return Annotator(client, tmp_path, monkeypatch)


@pytest.fixture
def task(make_task: MakeTask, annotate: Annotator) -> Any:
    """A task whose frame 1 has failed three times."""
    task = make_task(3)
    for _ in range(3):
        annotate(task)
        assert "img_0001.jpg" in annotate.tried
    return task


def test_it_is_not_tried_a_fourth_time_and_the_run_says_so(task: Any, annotate: Annotator) -> None:
    for _ in range(2):
        finished = annotate(task)
        assert annotate.tried == set()
        assert finished.error is not None
        assert finished.report.sentence == "nothing to do, 3 skipped (2 done before, 1 set aside)"
        remedies = {one.what: one.remedy for one in finished.report.left_out}
        assert "failed 3 times in the same way" in remedies["1 frame set aside"]
    assert frames_of(task) == [0, 2]


def test_another_kind_of_failure_starts_a_new_row(make_task: MakeTask, annotate: Annotator) -> None:
    task = make_task(2)
    for text in ("ValueError", "ValueError", "KeyError", "KeyError", "ValueError"):
        # The environment decides: the function stays the same.
        annotate.function.write_text(FUNCTION.replace("ValueError(", 'eval(os.environ["ERROR"])('))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ERROR", text)
            annotate(task)
        assert "img_0001.jpg" in annotate.tried


def test_a_repeated_flow_run_tries_it(
    task: Any, annotate: Annotator, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotate.way = run_flow
    stopped = annotate(task)
    assert annotate.tried == set()
    annotate.retry(stopped, task)
    assert annotate.tried == {"img_0001.jpg"}
    monkeypatch.setenv("FAIL", "")
    assert annotate.retry(stopped, task).error is None
    assert frames_of(task) == [0, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"function_parameters": {"width": 2.0}},
        {"label_thresholds": {"car": 0.1}},
        {"max_failed_frames": 0},
        {"fresh": True},
    ],
    ids=["function", "options", "all frames or none", "fresh"],
)
def test_a_changed_function_or_option_tries_it(
    task: Any, annotate: Annotator, change: dict[str, Any]
) -> None:
    annotate(task, **change)
    assert "img_0001.jpg" in annotate.tried


def test_a_dry_run_does_not_count(make_task: MakeTask, annotate: Annotator) -> None:
    task = make_task(2)
    for _ in range(4):
        annotate(task, dry_run=True)
        assert "img_0001.jpg" in annotate.tried


def test_a_run_over_its_budget_does_not_count(
    make_task: MakeTask, annotate: Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then something is wrong with the whole run, not with its frames."""
    task = make_task(2)
    monkeypatch.setenv("FAIL", "img_0000.jpg,img_0001.jpg")
    for _ in range(4):
        finished = annotate(task, max_failed_frames=1)
        assert "something may be wrong with the whole run" in str(finished.error)
        assert annotate.tried == {"img_0000.jpg", "img_0001.jpg"}
