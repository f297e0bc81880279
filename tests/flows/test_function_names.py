"""What was uploaded is recorded by the name of the function; everything finds it by that name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client

from aa_functions.reference import load_function
from cvat_flows.flows.cli import main
from cvat_flows.flows.driver import annotate_task
from cvat_flows.flows.in_process import sweep_here
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.rules import SweepRule
from tests.flows.conftest import FUNCTION, frames_of

pytestmark = pytest.mark.usefixtures("storage_folder", "prefect_server")

BOX = """
from aa_functions import DetectionFunctionSpec, label_spec, rectangle
spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])
def detect(context, image):
    return [rectangle(0, [1, 1, image.width - 1, image.height - 1])]
"""


@pytest.fixture
def server(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HOST", sandbox.url), ("USER", "admin"), ("PASSWORD", "admin")):
        monkeypatch.setenv(f"CVAT_{name}", value)


def test_replace_leaves_the_work_of_a_file_with_the_same_name(
    make_task: Callable[..., Any], annotate: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task(2)
    files = [tmp_path / folder / "det.py" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        file.write_text(FUNCTION)
    annotate(task, function=str(files[0]))
    options = {"existing": "replace", "function_parameters": {"width": 2.0}}
    second = annotate(task, function=str(files[1]), **options).report_or_raise()
    assert (second.created, second.deleted) == (2, 0)
    first = load_function(str(files[0])).name
    assert f"--function-name {first}" in caplog.text
    assert frames_of(task) == [0, 0, 1, 1]
    moved = annotate(task, function=str(files[1]), function_name=first, **options)
    # The boxes of the second function are equal to those wanted, and stay that function's.
    assert (moved.report_or_raise().kept, moved.report_or_raise().deleted) == (2, 2)


def test_a_drop_in_call_and_a_sweep_know_each_other(
    make_task: Callable[..., Any],
    client: Client,
    server: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "drop_in_box.py").write_text(BOX)
    monkeypatch.syspath_prepend(str(tmp_path))
    task = make_task(2, name="drop-in")
    annotate_task(client, task.id, importlib.import_module("drop_in_box"))
    rule = SweepRule(task_name="drop-in", function="drop_in_box", options={"max_failed_frames": 0})
    report = sweep_here(AnnotateNewTasksParameters(rules=[rule]))
    sys.modules.pop("drop_in_box")
    assert (report.rows, report.done) == ([], 1)
    assert frames_of(task) == [0, 1]


def test_one_name_everywhere(
    make_task: Callable[..., Any],
    server: None,
    function_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = make_task(2)
    name = load_function(str(function_file)).name
    assert main(["annotate", str(task.id), "--function-file", str(function_file)]) == 0
    output = capsys.readouterr()
    assert name in output.out
    assert "None" not in output.out + output.err
    assert main(["manifest", str(task.id), "--json"]) == 0
    assert f'"function": "{name}"' in capsys.readouterr().out
    assert main(["undo", str(task.id), "--function", "another.py"]) == 2
    assert main(["undo", str(task.id), "--function", f"{function_file.name}@00000000"]) == 2
    assert frames_of(task) == [0, 1]
    assert main(["undo", str(task.id), "--yes", "--function", name]) == 0
    assert frames_of(task) == []


def test_undo_by_file_name_unless_it_is_ambiguous(
    make_task: Callable[..., Any],
    annotate: Any,
    server: None,
    function_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = make_task(1)
    copy = tmp_path / "copy" / function_file.name
    copy.parent.mkdir()
    copy.write_text(FUNCTION)
    annotate(task)
    annotate(task, function=str(copy), function_parameters={"width": 2.0})
    undo = ["undo", str(task.id), "--yes", "--function", function_file.name]
    assert main(undo) == 2
    error = capsys.readouterr().err
    assert all(load_function(str(file)).name in error for file in (function_file, copy))
    assert main([*undo[:-1], load_function(str(copy)).name]) == 0
    assert frames_of(task) == [0]
