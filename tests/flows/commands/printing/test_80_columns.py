"""What the commands print on a terminal of 80 columns: nothing is cut, and figures are whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

WIDTH = 80
LONG = "motorcycle rider with a helmet"
LABELS = ("car", "traffic light", LONG)
FUNCTION = f"""
from types import SimpleNamespace

from aa_functions import DetectionFunctionSpec, label_spec, rectangle

LABELS = {LABELS!r}


def create(width=20.0, fail=""):
    def detect(context, image):
        if context.frame_name == fail:
            raise ValueError("this frame is bad, because " + "it is damaged " * 9)
        return [
            rectangle(n, [1 + 20 * n, 1, 1 + 20 * n + width, 40], score=0.9 - n / 10)
            for n in range(len(LABELS))
        ]

    return SimpleNamespace(
        spec=DetectionFunctionSpec(labels=[label_spec(name, n) for n, name in enumerate(LABELS)]),
        detect=detect,
    )
"""
Run = Callable[..., tuple[str, str]]


@pytest.fixture
def function_path(tmp_path: Path) -> Path:
    path = tmp_path / "several_labels.py"
    path.write_text(FUNCTION)
    return path


@pytest.fixture
def run(cli: Any, function_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("evaluate", task_id)` returns what a command prints, and what it says of the rest."""

    def call(command: str, *arguments: object, function: bool = True) -> tuple[str, str]:
        monkeypatch.setenv("COLUMNS", str(WIDTH))
        named = ("--function-file", function_path) if function else ()
        _, out, err = cli(command, *arguments, *named, function=False)
        assert out, err
        assert "…" not in out + err
        rules = [number for number, text in enumerate(out.splitlines()) if text.startswith("──")]
        for number in rules:  # each is below the headings of a table
            for text in _table(out.splitlines()[number - 1 :]):
                assert len(text) <= WIDTH
        return out, err

    return call


def _table(lines: list[str]) -> Iterator[str]:
    """Yield the lines of a table: all have its width."""
    for text in lines:
        if len(text) != len(lines[1]):
            return
        yield text


@pytest.fixture
def corrected(make_task: Any, run: Run) -> Any:
    """A finished task of 12 frames, on which people have changed what was uploaded."""
    task = make_task(12, labels=LABELS, name="a street with traffic lights, seen from a bus")
    run("annotate", task.id)
    (job,) = task.get_jobs()
    ids = {label.name: label.id for label in task.get_labels()}
    shapes = job.get_annotations().shapes
    changed = []
    for n, shape in enumerate(shapes[:-3]):
        if n % 5 == 0:
            changed.append(_request(shape, points=[shape.points[0] + 2, *shape.points[1:]]))
        elif n % 7 == 0:
            changed.append(_request(shape, label_id=ids["car"]))
    added = models.LabeledShapeRequest(
        type="rectangle", frame=3, label_id=ids["car"], points=[2.0, 41.0, 30.0, 47.0]
    )
    for action, some in (
        (AnnotationUpdateAction.UPDATE, changed),
        (AnnotationUpdateAction.DELETE, list(map(_request, shapes[-3:]))),
        (AnnotationUpdateAction.CREATE, [added]),
    ):
        job.update_annotations(models.PatchedLabeledDataRequest(shapes=some), action=action)
    job.update(models.PatchedJobWriteRequest(state="completed"))
    return task


def _request(shape: models.LabeledShape, **changes: Any) -> models.LabeledShapeRequest:
    kept = ("id", "frame", "label_id", "points", "source")
    values = {name: getattr(shape, name) for name in kept}
    return models.LabeledShapeRequest(type="rectangle", **{**values, **changes})


def figures_in(out: str) -> tuple[list[str], list[str]]:
    """Return the headings of the table of figures that was printed, and its last row."""
    lines = out.splitlines()
    place = next(n for n, text in enumerate(lines) if text.startswith("label "))
    last = next(text for text in lines[place:] if text.startswith("all "))
    headings = lines[place].replace("mean IoU", "mean_IoU").split()
    return [heading.replace("_", " ") for heading in headings], last.split()


def test_figures_are_whole(corrected: Any, run: Run, cli: Any, function_path: Path) -> None:
    task_id = corrected.id
    for command, left_out in (
        ("evaluate", "95 % intervals"),
        ("review", "mean IoU, attributes, unclear, recall"),
    ):
        out, _ = run(command, task_id)
        assert f"only in the report (--output FOLDER): {left_out}\n" in out
        function = ("--function-file", function_path)
        _, content, _ = cli(command, task_id, "--json", *function, function=False)
        expected = json.loads(content)["rows"][-1]
        headings, cells = figures_in(out)
        assert len(headings) == len(cells)
        assert cells == [expected[heading].partition(" (")[0] for heading in headings]


def test_intervals_are_printed_where_they_fit(
    corrected: Any, run: Run, cli: Any, function_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "0.917 (0.75-1.00)" not in run("evaluate", corrected.id)[0]
    monkeypatch.setenv("COLUMNS", "130")
    _, out, _ = cli("evaluate", corrected.id, "--function-file", function_path, function=False)
    assert "0.917 (0.75-1.00)" in out
    assert "AP50-95" in out
    assert "only in the report" not in out


def test_columns_without_anything_are_left_out_first(corrected: Any, run: Run) -> None:
    out, _ = run("review", corrected.id, function=False)
    assert "only in the report (--output FOLDER): moved, mean IoU, attributes, recall\n" in out
    assert figures_in(out) == (
        ["label", "uploaded", "kept", "relabelled", "unclear", "deleted", "added", "precision"],
        ["all", "36", "23", "3", "7", "3", "1", "0.833"],
    )
    assert "23 of 36 uploaded annotations kept, 0 moved, 3 relabelled, 7 changed in an" in out


def test_two_functions(corrected: Any, run: Run, function_path: Path) -> None:
    other = ("--other-function", function_path, "--other-function-parameters", "{width: 7.0}")
    out, err = run("compare", corrected.id, *other)
    headings, cells = figures_in(out)
    assert headings == ["label", "figure", "one", "other", "difference", "verdict"]
    assert cells[:4] == ["all", "precision", "0.833", "0.000"]
    assert cells[-1] == "worse"
    # Each function has a bar of its own.
    assert err.count(f"detecting on task {corrected.id} with several_labels") == 2
    assert err.count("12/12") == 2
    out, err = run("rank", corrected.id, *other)
    assert "6 disputed" in out
    assert err.count("12/12") == 2


def test_other_tables(corrected: Any, run: Run) -> None:
    task_id = corrected.id
    out, _ = run("manifest", task_id, function=False)
    assert "when (UTC)       version  frames       added deleted now" in out
    out, _ = run("manifest", task_id, "--frames", function=False)
    assert "   11  " in out
    out, _ = run("cache", function=False)
    assert "images   MB  newest (UTC)" in out
    out, _ = run("match", task_id)
    assert "any   matched" in out
    out, _ = run("undo", task_id, "--dry-run", function=False)
    assert "would be deleted  left" in out
    out, _ = run("annotate", task_id, "-p", "fail=str:img_0001.jpg", "--fresh")
    assert "it is damaged it is damaged" in out
    out, _ = run("annotate-new", "--task-name", "a street*", "--dry-run")
    assert "lights, seen from a bus" in out
