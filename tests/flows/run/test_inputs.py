"""A file that changed is never answered with the detections of the old one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAD = """
import json
from pathlib import Path

from aa_functions import DetectionFunctionSpec, label_spec, rectangle

FILE = Path(__file__).parent / ("b" + "ox.json")
SPEC = DetectionFunctionSpec(labels=[label_spec("car", 0)])


class Cars:
    spec = SPEC

    def __init__(self):
        self.box = json.loads(FILE.read_text())

    def detect(self, context, image):
        return [rectangle(0, self.box)]


class Late:
    spec = SPEC
    box = None

    def detect(self, context, image):
        if self.box is None:
            self.box = json.loads(FILE.read_text())
        return [rectangle(0, self.box)]

"""


class Function:
    def __init__(self, folder: Path, create: str) -> None:
        self.path = folder / "reads.py"
        self.path.write_text(f"{HEAD}\ncreate = {create}\n")
        self.train(1)

    def train(self, x: int) -> None:
        (self.path.parent / "box.json").write_text(f"[{x}, 1, 30, 30]")


def lefts(task: Any) -> list[float]:
    return sorted(shape.points[0] for shape in task.get_annotations().shapes)


@pytest.mark.parametrize("create", ["Cars", "Late"])
def test_new_weights_under_the_old_name(
    make_task: Callable[..., Any], annotate: Any, tmp_path: Path, create: str
) -> None:
    function = Function(tmp_path, create)
    first, second = make_task(3), make_task(3)
    assert annotate(first, function=str(function.path)).error is None
    function.train(2)
    annotate(second, function=str(function.path))
    assert lefts(second) == [2, 2, 2]
    annotate(first, function=str(function.path), existing="replace")
    assert lefts(first) == [2, 2, 2]


def test_a_function_that_reads_late_says_so_and_is_called_again(
    make_task: Callable[..., Any],
    annotate: Any,
    tmp_path: Path,
    storage_folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    function = Function(tmp_path, "Late")
    task = make_task(3)
    annotate(task, function=str(function.path), frames_per_run=1)
    assert "box.json', which was not read when it was loaded or has changed since" in caplog.text
    assert not list((storage_folder / "detections").rglob("*.json"))
    again = annotate(task, function=str(function.path))
    assert again.report.count("annotated") == 3
    assert (again.report.created, again.report.kept) == (0, 3)
    assert lefts(task) == [1, 1, 1]


def test_a_function_with_unknown_inputs_has_no_fingerprint(
    make_task: Callable[..., Any], annotate: Any, tmp_path: Path
) -> None:
    function = Function(tmp_path, "Cars")
    function.path.write_text(f"import onnxruntime\n{function.path.read_text()}")
    task = make_task(2)
    for _ in range(2):
        finished = annotate(task, function=str(function.path))
        assert finished.report.fingerprint is None
        assert finished.report.count("annotated") == 2
    assert lefts(task) == [1, 1]
