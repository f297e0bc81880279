"""A function that declares `needs_annotations` gets what is on the frame, and only then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, models

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.driver import annotate_task
from cvat_flows.flows.run.prepare import NeedsAnnotations, make_run, open_notes
from tests.flows.conftest import both_ways, frames_of

FUNCTION = '''
"""Returns a box around each shape that is on the frame, and writes down what it was told."""
import json
from types import SimpleNamespace

import attrs
from aa_functions import DetectionFunctionSpec, label_spec, rectangle

needs_annotations = True
spec = DetectionFunctionSpec(labels=[label_spec("box", 0, type="rectangle")])
CALLS = {calls!r}


def detect(context, image):
    rows = [attrs.asdict(one) for one in context.annotations]
    with open(CALLS, "a") as file:
        print(json.dumps([context.frame_name, rows]), file=file)
    found = [one for one in context.annotations if one.type == "rectangle"]
    return [rectangle(0, [value + 1 for value in one.points], score=0.5) for one in found]


def fingerprint_inputs():
    return {{"version": 1}}
'''

LABELS = [
    models.PatchedLabelRequest(
        name="car",
        attributes=[
            models.AttributeRequest(
                name="colour", mutable=False, input_type="select", values=["red", "blue"]
            )
        ],
    ),
    models.PatchedLabelRequest(name="box"),
    models.PatchedLabelRequest(
        name="person",
        type="skeleton",
        sublabels=[
            models.SublabelRequest(name="head", type="points"),
            models.SublabelRequest(name="foot", type="points"),
        ],
        svg='<circle r="1" cx="1" cy="1" data-type="element node" data-element-id="1" '
        'data-node-id="1" data-label-name="head"></circle>'
        '<circle r="1" cx="2" cy="2" data-type="element node" data-element-id="2" '
        'data-node-id="2" data-label-name="foot"></circle>',
    ),
]


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], dict[str, list[dict[str, Any]]]]:
    """What the function was told since the last call, by file name."""
    path = tmp_path / "calls"

    def take() -> dict[str, list[dict[str, Any]]]:
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        assert len({json.loads(line)[0] for line in lines}) == len(lines)
        return dict(json.loads(line) for line in lines)

    return take


@pytest.fixture
def function(tmp_path: Path) -> str:
    path = tmp_path / "around.py"
    path.write_text(FUNCTION.format(calls=str(tmp_path / "calls")))
    return str(path)


def draw(task: Any, frame: int, points: list[float], label: str = "car", **fields: Any) -> Any:
    """Draw a rectangle, as a person would. Return it as CVAT stores it."""
    label_id = next(one.id for one in task.get_labels() if one.name == label)
    shape = models.LabeledShapeRequest(
        type="rectangle", frame=frame, label_id=label_id, points=points, **fields
    )
    before = {one.id for one in task.get_annotations().shapes}
    task.update_annotations(
        models.PatchedLabeledDataRequest(shapes=[shape]), action=task_action("create")
    )
    return next(one for one in task.get_annotations().shapes if one.id not in before)


def task_action(name: str) -> Any:
    from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

    return AnnotationUpdateAction(name)


def move(task: Any, shape: Any, by: float) -> None:
    changed = models.LabeledShapeRequest(
        id=shape.id,
        type="rectangle",
        frame=shape.frame,
        label_id=shape.label_id,
        points=[value + by for value in shape.points],
    )
    task.update_annotations(
        models.PatchedLabeledDataRequest(shapes=[changed]), action=task_action("update")
    )


def boxes(task: Any) -> list[tuple[int, list[float]]]:
    label = next(one.id for one in task.get_labels() if one.name == "box")
    shapes = task.get_annotations().shapes
    return sorted((one.frame, one.points) for one in shapes if one.label_id == label)


@both_ways
def test_the_function_gets_what_is_on_the_frame(
    make_task: Callable[..., Any], annotate: Any, function: str, calls: Any
) -> None:
    task = make_task(2, LABELS)
    colour = next(one for one in task.get_labels() if one.name == "car").attributes[0]
    value = models.AttributeValRequest(spec_id=colour.id, value="blue")
    draw(task, 1, [1, 2, 30, 20], rotation=15.0, occluded=True, attributes=[value])
    person = next(one for one in task.get_labels() if one.name == "person")
    elements = [
        models.SubLabeledShapeRequest(
            type="points", frame=1, label_id=one.id, points=[n + 5, 6], outside=bool(n)
        )
        for n, one in enumerate(person.sublabels)
    ]
    task.update_annotations(
        models.PatchedLabeledDataRequest(
            tags=[models.LabeledImageRequest(frame=1, label_id=person.id)],
            shapes=[
                models.LabeledShapeRequest(
                    type="skeleton", frame=1, label_id=person.id, elements=elements
                )
            ],
        ),
        action=task_action("create"),
    )
    assert annotate(task, function=function).error is None
    seen = calls()
    assert seen["img_0000.jpg"] == []
    car, skeleton, tag = seen["img_0001.jpg"]
    assert (car["label"], car["type"], car["points"]) == ("car", "rectangle", [1, 2, 30, 20])
    assert (car["rotation"], car["occluded"]) == (15, True)
    assert car["attributes"] == [["colour", "blue"]]
    assert (tag["label"], tag["type"], tag["points"]) == ("person", "tag", [])
    assert (skeleton["label"], skeleton["type"]) == ("person", "skeleton")
    assert [(one["label"], one["points"], one["outside"]) for one in skeleton["elements"]] == [
        ("head", [5, 6], False),
        ("foot", [6, 6], True),
    ]
    assert boxes(task) == [(1, [2, 3, 31, 21])]
    # What it has uploaded is not its input.
    assert annotate(task, function=function).report.count("skipped") == 2
    assert annotate(task, function=function, fresh=True).error is None
    assert calls()["img_0001.jpg"] == [car, skeleton, tag]
    assert boxes(task) == [(1, [2, 3, 31, 21])]


def test_a_changed_shape_is_detected_again_and_nothing_else(
    make_task: Callable[..., Any], annotate: Any, function: str, calls: Any
) -> None:
    task = make_task(3, LABELS)
    shapes = [draw(task, frame, [1, 2, 30, 20]) for frame in (0, 1)]
    annotate(task, function=function, existing="replace")
    assert len(calls()) == 3
    move(task, shapes[1], 3)
    finished = annotate(task, function=function, existing="replace")
    assert finished.report.count("skipped") == 2
    assert list(calls()) == ["img_0001.jpg"]
    assert boxes(task) == [(0, [2, 3, 31, 21]), (1, [5, 6, 34, 24])]
    # Back again: the first detection is in the cache.
    move(task, next(one for one in task.get_annotations().shapes if one.id == shapes[1].id), -3)
    annotate(task, function=function, existing="replace")
    assert calls() == {}
    assert boxes(task) == [(0, [2, 3, 31, 21]), (1, [2, 3, 31, 21])]


def test_a_result_that_a_person_has_changed_is_an_input(
    make_task: Callable[..., Any], annotate: Any, function: str, calls: Any
) -> None:
    task = make_task(2, LABELS)
    draw(task, 0, [1, 2, 30, 20])
    annotate(task, function=function)
    calls()
    (result,) = [one for one in task.get_annotations().shapes if one.points == [2, 3, 31, 21]]
    move(task, result, 5)
    annotate(task, function=function)
    assert [one["label"] for one in calls()["img_0000.jpg"]] == ["box", "car"]


def test_another_function_is_a_first_stage(
    make_task: Callable[..., Any], annotate: Any, function: str, calls: Any
) -> None:
    task = make_task(2, LABELS)
    annotate(task)  # one box on each frame
    annotate(task, function=function)
    assert {name: [one["label"] for one in seen] for name, seen in calls().items()} == {
        "img_0000.jpg": ["car"],
        "img_0001.jpg": ["car"],
    }


def test_each_job_is_read_once_before_the_run_and_shared_frames_have_no_copies(
    make_task: Callable[..., Any],
    annotate: Any,
    function: str,
    calls: Any,
    sandbox: SandboxProcess,
) -> None:
    task = make_task(6, LABELS, segment_size=4, overlap=2)
    first, second = task.get_jobs()
    for job in (first, second):
        label_id = task.get_labels()[0].id
        shape = models.LabeledShapeRequest(
            type="rectangle", frame=2, label_id=label_id, points=[1, 2, 30, 20]
        )
        job.update_annotations(
            models.PatchedLabeledDataRequest(shapes=[shape]), action=task_action("create")
        )
    sandbox.reset_request_counts()
    annotate(task, function=function, dry_run=True)
    # The dry run of the upload reads each job once, too.
    assert sandbox.request_counts()["GET /api/jobs/{id}/annotations"] == 4
    assert [len(seen) for seen in calls().values()] == [0, 0, 1, 0, 0, 0]


def test_a_function_that_does_not_need_them_has_no_annotations(
    make_task: Callable[..., Any], annotate: Any, tmp_path: Path
) -> None:
    task = make_task(1, LABELS)
    path = tmp_path / "plain.py"
    path.write_text(FUNCTION.format(calls="").replace("needs_annotations = True", ""))
    finished = annotate(task, function=str(path))
    (failure,) = finished.report.failures.values()
    assert "no attribute 'annotations'" in failure.error
    assert frames_of(task) == []
    path.write_text(FUNCTION.format(calls="").replace("= True", '= "yes"'))
    error = annotate(task, function=str(path)).error
    assert "has 'needs_annotations' = 'yes': it must be True or absent" in str(error)


def test_the_drop_in_passes_them_on(
    make_task: Callable[..., Any], client: Client, storage_folder: Path, function: str, calls: Any
) -> None:
    from aa_functions import load_function

    task = make_task(1, LABELS)
    draw(task, 0, [1, 2, 30, 20])
    module = load_function(function).function
    annotate_task(client, task.id, module, allow_unmatched_labels=True)
    assert [one["label"] for one in calls()["img_0000.jpg"]] == ["car"]
    assert boxes(task) == [(0, [2, 3, 31, 21])]


def test_runs_that_cannot_pass_them_on_say_so(
    make_task: Callable[..., Any], annotate: Any, function: str, client: Client, monkeypatch: Any
) -> None:
    from cvat_flows.flows.parameters import AnnotateTaskParameters
    from cvat_flows.flows.run.context import open_context
    from cvat_flows.flows.run.live import LiveInputs
    from cvat_flows.tasks.engine.current import use_engine
    from cvat_flows.tasks.engine.plain import PlainEngine

    task = make_task(1, LABELS)
    assert "needs what is on the frames already: remove --split" in str(
        annotate(task, function=function, split="jobs").error
    )
    with use_engine(PlainEngine()):
        context = open_context(
            AnnotateTaskParameters(task_id=task.id, function=function), LiveInputs(client=client)
        )
        with pytest.raises(NeedsAnnotations, match="only a run that annotates them passes on"):
            make_run(context, (), open_notes(context))
