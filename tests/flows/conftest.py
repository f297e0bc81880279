"""Fixtures for the tests of the flows: a detection function, and a way to run the flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from cvat_sdk import Client
from prefect.settings import PREFECT_API_URL, temporary_settings

from cvat_flows.flows.finished import Finished, RunTask
from cvat_flows.flows.in_process import run_in_threads
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_flows.here import run_flow
from cvat_flows.flows.run.live import LiveInputs

FUNCTION = '''
"""Returns one box on each frame. The parameters make frames fail, hang or wait by name."""
import time
from pathlib import Path
from types import SimpleNamespace

from aa_functions import DetectionFunctionSpec, label_spec, rectangle


def create(label="car", fail="", width=1.0, bad="", calls="", hang="", wait=""):
    def detect(context, image):
        if calls:
            with open(calls, "a") as file:
                print(context.frame_name, file=file)
        if context.frame_name in fail.split(","):
            raise ValueError(f"cannot process {context.frame_name}")
        if hang and context.frame_name in hang.split(","):
            time.sleep(300)
        if wait.startswith(f"{context.frame_name} until "):
            deadline = time.monotonic() + 300
            while not Path(wait.split(" until ")[1]).exists():
                if time.monotonic() > deadline:
                    raise TimeoutError("waited in vain")
                time.sleep(0.01)
        if context.frame_name in bad.split(","):
            return [rectangle(7, [0, 0, 1, 1])]
        return [rectangle(0, [width, 1, image.width - 1, image.height - 1], score=0.5)]

    return SimpleNamespace(
        spec=DetectionFunctionSpec(labels=[label_spec(label, 0)]), detect=detect
    )
'''


@pytest.fixture
def function_file(tmp_path: Path) -> Path:
    path = tmp_path / "one_box.py"
    path.write_text(FUNCTION)
    return path


@pytest.fixture(autouse=True)
def _no_prefect_server(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hide the Prefect server of the session from tests that do not ask for it."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if "prefect_server" in request.fixturenames or "Prefect" in parameters.values():
        yield
        return
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


both_ways = pytest.mark.parametrize("annotate", ["threads", "Prefect"], indirect=True)
"""Runs a test without Prefect and as a Prefect flow."""
Annotate = Callable[..., Finished]
"""`annotate(task, options..., function_parameters={...})` annotates in this process."""


@pytest.fixture
def annotate_with(client: Client, function_file: Path, storage_folder: Path) -> Any:
    """A function that makes an `Annotate` of a way to run."""

    def with_way(way: RunTask) -> Annotate:
        def run(task: Any, **options: Any) -> Finished:
            parameters = AnnotateTaskParameters(
                task_id=getattr(task, "id", task), **{"function": str(function_file), **options}
            )
            return way(parameters, LiveInputs(client=client))

        return run

    return with_way


@pytest.fixture
def annotate(request: pytest.FixtureRequest, annotate_with: Any) -> Annotate:
    """Annotate without Prefect, unless the test says otherwise: it is faster."""
    if getattr(request, "param", "threads") == "Prefect":
        return cast(Annotate, request.getfixturevalue("annotate_in_prefect"))
    return cast(Annotate, annotate_with(run_in_threads))


@pytest.fixture
def annotate_in_prefect(annotate_with: Any, prefect_server: None) -> Annotate:
    """Annotate as a Prefect flow."""
    return cast(Annotate, annotate_with(run_flow))


def frames_of(task: Any) -> list[int]:
    """Return the frame numbers of the task's shapes, sorted."""
    return sorted(shape.frame for shape in task.get_annotations().shapes)
