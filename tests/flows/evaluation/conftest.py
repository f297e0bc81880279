"""A function that detects what a test plants, and tasks with what people say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

from cvat_flows.flows.evaluation.parameters import EvaluateTaskParameters
from cvat_flows.flows.in_process import evaluate_here
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport

Box = tuple[str, Sequence[float]]
Planted = Mapping[int, Sequence[tuple[str, Sequence[float], float]]]
"""Label, points and score of detections, by frame."""

FUNCTION = '''
"""Detects what a file says, by frame."""
import json
from pathlib import Path
from types import SimpleNamespace

from aa_functions import DetectionFunctionSpec, label_spec, rectangle


def create(planted, labels="car,dog"):
    names = labels.split(",")
    content = json.loads(Path(planted).read_text())

    def detect(context, image):
        number = str(int(Path(context.frame_name).stem.split("_")[1]))
        found = content.get(number, [])
        least = context.conf_threshold or 0
        if found == "fail":
            raise ValueError("cannot see")
        return [
            rectangle(names.index(label), points, score=score)
            for label, points, score in found
            if score >= least
        ]

    spec = DetectionFunctionSpec(labels=[label_spec(name, n) for n, name in enumerate(names)])
    return SimpleNamespace(spec=spec, detect=detect)
'''


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function that returns the parameters of a function that detects what it is given."""

    def make(planted: Any, *, labels: str = "car,dog", name: str = "planted") -> dict[str, Any]:
        module, content = tmp_path / f"{name}.py", tmp_path / f"{name}.json"
        module.write_text(FUNCTION)
        content.write_text(json.dumps(planted))
        parameters = {"planted": str(content), "labels": labels}
        return {"function": str(module), "function_parameters": parameters}

    return make


@pytest.fixture
def draw(client: Client) -> Callable[..., None]:
    """A function that puts a person's boxes into a job: `draw(job, {frame: [(label, points)]})`."""

    def put(job: Any, boxes: Mapping[int, Sequence[Box]], source: str = "manual") -> None:
        ids = {label.name: label.id for label in client.tasks.retrieve(job.task_id).get_labels()}
        shapes = [
            models.LabeledShapeRequest(
                type="rectangle",
                frame=frame,
                label_id=ids[label],
                points=list(points),
                source=source,
            )
            for frame, found in boxes.items()
            for label, points in found
        ]
        job.update_annotations(
            models.PatchedLabeledDataRequest(shapes=shapes), action=AnnotationUpdateAction.CREATE
        )

    return put


def finish(job: Any) -> None:
    """Do what a person does who is done with a job."""
    job.update(models.PatchedJobWriteRequest(state="completed"))


def accept(job: Any) -> None:
    """Do what CVAT wants of ground truth."""
    job.update(models.PatchedJobWriteRequest(stage="acceptance"))
    job.update(models.PatchedJobWriteRequest(state="completed"))


Evaluate = Callable[..., EvaluationReport]


@pytest.fixture
def evaluate(client: Client, storage_folder: Path) -> Evaluate:
    """`evaluate(task, options..., function=..., function_parameters={...})`, without Prefect."""

    def run(task: Any, **options: Any) -> EvaluationReport:
        parameters = EvaluateTaskParameters(task_id=task.id, **options)
        return evaluate_here(parameters, LiveInputs(client=client))

    return run
