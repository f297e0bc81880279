"""What a function does on one frame costs that frame only, and no more calls than can help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cvat_flows.flows.in_process import sweep_here
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.cvat.client.settings import command_line_settings
from tests.flows.conftest import frames_of

FUNCTION = """
import os, sys

from aa_functions import BadFunctionError, DetectionFunctionSpec, label_spec, rectangle

spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])


class Unreadable(Exception):
    def __str__(self):
        raise KeyError("no text")


def fail(how):
    if how == "quit":
        quit()
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "unreadable":
        raise Unreadable
    if how == "unstorable":
        raise ValueError("\\ud800 in \\udfff")
    if how == "error":
        raise ValueError("once more")
    if how == "too many":
        return [rectangle(0, [1, 1, 9, 9])] * 4
    if how == "nothing":
        return None
    if how == "invalid":
        return [rectangle(7, [1, 1, 9, 9])]


def detect(context, image):
    with open(os.environ["CALLS"], "a") as calls:
        print(context.frame_name, file=calls)
    if context.frame_name == os.environ["BAD"]:
        return fail(os.environ["HOW"])
    return [rectangle(0, [1, 1, 9, 9])]
"""
CALLS = {
    "unreadable": 4,
    "unstorable": 4,
    "error": 4,
    # The same would happen again.
    "quit": 1,
    "interrupt": 1,
    "too many": 1,
    "nothing": 1,
    "invalid": 1,
}
"""How often the function is called for the bad frame."""


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("BAD", "img_0001.jpg")
    path = tmp_path / "bad_frame.py"
    path.write_text(FUNCTION)
    return path


@pytest.mark.parametrize("how", CALLS)
def test_a_frame_costs_only_itself(
    how: str,
    make_task: Callable[..., Any],
    annotate: Any,
    function: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOW", how)
    task = make_task(4, segment_size=2)
    finished = annotate(task, function=str(function), max_failed_frames=2, max_shapes_per_frame=3)
    assert "3 of 4 frames annotated, 1 failed" in str(finished.error)
    assert frames_of(task) == [0, 2, 3]
    calls = Counter((tmp_path / "calls").read_text().split())
    assert calls == {f"img_000{n}.jpg": CALLS[how] if n == 1 else 1 for n in range(4)}
    if how == "quit":
        assert "SystemExit was raised, which ends a program" in finished.report.failed[0].error


def test_a_function_that_quits_ends_no_sweep(
    make_task: Callable[..., Any],
    function: Path,
    sandbox: Any,
    storage_folder: Path,
    prefect_server: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOW", "quit")
    monkeypatch.setenv("BAD", "img_0000.jpg")
    tasks = [make_task(count, name=f"night {count}") for count in (1, 3)]
    Image.new("RGB", (64, 48)).save(function.parent / "other.png")
    tasks.append(make_task(name="night 2", images=[function.parent / "other.png"]))
    rule = SweepRule(task_name="night*", function=str(function), options={"max_failed_frames": 9})
    token = command_line_settings.set(
        ServerSettings(host=sandbox.url, username="admin", password="admin")
    )
    try:
        report = sweep_here(AnnotateNewTasksParameters(rules=[rule]))
    finally:
        command_line_settings.reset(token)
    assert [(row.task.id, row.outcome) for row in report.rows] == [
        (tasks[0].id, "failed"),
        (tasks[1].id, "failed"),
        (tasks[2].id, "annotated"),
    ]
    assert [frames_of(task) for task in tasks] == [[], [1, 2], [0]]
