"""`cvat-flows adjust`: other thresholds for a task that is annotated already."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

Cli = Callable[..., tuple[int, str, str]]

FUNCTION = '''
"""Three boxes with different scores; counts the calls in a variable."""
import os
from types import SimpleNamespace

from aa_functions import DetectionFunctionSpec, label_spec, rectangle


def create():
    def detect(context, image):
        os.environ["TEST_CALLS"] = str(int(os.environ["TEST_CALLS"]) + 1)
        return [rectangle(0, [n * 10, 1, n * 10 + 8, 9], score=0.3 * n) for n in (1, 2, 3)]

    return SimpleNamespace(
        spec=DetectionFunctionSpec(labels=[label_spec("car", 0)]), detect=detect
    )
'''


@pytest.fixture
def adjust(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """`adjust(command, task id, options...)` with the function above."""
    module = tmp_path / "three.py"
    module.write_text(FUNCTION)
    monkeypatch.setenv("TEST_CALLS", "0")

    def run(command: str, task_id: int, *options: object) -> tuple[int, str, str]:
        return cli(command, task_id, "--function", module, *options, function=False)

    return run


def lefts(task: Any) -> list[tuple[int, float]]:
    """Return frame and left side of the boxes in CVAT."""
    return sorted((shape.frame, shape.points[0]) for shape in task.get_annotations().shapes)


def test_it_adds_and_removes_only_what_differs(
    adjust: Cli, make_task: Callable[..., Any], cli: Cli
) -> None:
    task = make_task(3)
    assert adjust("annotate", task.id)[0] == 0
    ids = {shape.id: shape.points[0] for shape in task.get_annotations().shapes}
    assert os.environ["TEST_CALLS"] == "3"
    # A person moves the unsure box of frame 1: it is theirs.
    (one,) = [s for s in task.get_annotations().shapes if (s.frame, s.points[0]) == (1, 10.0)]
    moved = models.LabeledShapeRequest(
        id=one.id, type="rectangle", frame=1, label_id=one.label_id, points=[11.0, 1.0, 19.0, 9.0]
    )
    data = models.PatchedLabeledDataRequest(shapes=[moved])
    task.get_jobs()[0].update_annotations(data, action=AnnotationUpdateAction.UPDATE)

    before = lefts(task)
    status, out, _ = adjust("adjust", task.id, "--label-thresholds", "{car: 0.5}")
    assert status == 0
    assert "dry run: add --apply" in out
    assert lefts(task) == before

    assert adjust("adjust", task.id, "--label-thresholds", "{car: 0.5}", "--apply")[0] == 0
    kept = [(n, left) for n in range(3) for left in (20.0, 30.0)]
    assert lefts(task) == sorted([*kept, (1, 11.0)])
    # What stays is not written again.
    assert {shape.id for shape in task.get_annotations().shapes} <= set(ids)

    assert adjust("adjust", task.id, "--label-thresholds", "{car: 0.8}", "--apply")[0] == 0
    assert lefts(task) == sorted([*((n, 30.0) for n in range(3)), (1, 11.0)])
    assert adjust("adjust", task.id, "--label-thresholds", "{car: 0.1}", "--apply")[0] == 0
    assert lefts(task)[:3] == [(0, 10.0), (0, 20.0), (0, 30.0)]
    assert (1, 11.0) in lefts(task)
    # The function was never called again.
    assert os.environ["TEST_CALLS"] == "3"

    assert cli("undo", task.id, "--yes", function=False)[0] == 0
    assert lefts(task) == [(1, 11.0)]


def test_mistakes(adjust: Cli, make_task: Callable[..., Any]) -> None:
    task = make_task(1)
    status, _, err = adjust("adjust", task.id)
    assert status == 2
    assert "--label-thresholds: is missing" in err
    status, _, err = adjust("adjust", task.id, "--label-thresholds", "{car: 0.5}")
    assert status == 2
    assert "has annotated no frame" in err
    adjust("annotate", task.id)
    status, _, err = adjust("adjust", task.id, "--label-thresholds", "{cat: 0.5}")
    assert status == 2
    assert "the function has no label 'cat'" in err
