"""A function, a task and their match, to validate outputs with."""

from __future__ import annotations

from typing import Any

from cvat_sdk import models

from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.check.validate import ValidationOptions, validate_frame
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.labels import Attribute, Label

FRAME = Frame(number=7, name="a.png", width=64, height=48, chunk=0, job_ids=(1,))
KEEP = ValidationOptions()


def label(id_: int, name: str, first: int, type_: str = "any", *below: str) -> Label:
    return Label(
        id=id_,
        name=name,
        type=type_,
        attributes=(
            Attribute(id=first, name="kind", input_type="select", values=("a", "b")),
            Attribute(id=first + 1, name="note", input_type="text"),
            Attribute(id=first + 2, name="age", input_type="number", values=("0", "10", "1")),
        )
        if type_ == "any"
        else (),
        sublabels=tuple(
            Label(id=first + 3 + index, name=point, type="points")
            for index, point in enumerate(below)
        ),
    )


FUNCTION = (
    label(1, "car", 10),
    label(2, "cat", 20, "skeleton", "head", "tail"),
    label(3, "box", 30, "rectangle"),
    label(4, "sunny", 40, "tag"),
    label(5, "gone", 50),
)
TASK = (
    label(101, "car", 110),
    label(102, "cat", 120, "skeleton", "head", "tail"),
    label(103, "box", 130, "rectangle"),
    label(104, "sunny", 140, "tag"),
)
MATCH = match_spec(FUNCTION, TASK, allow_unmatched_labels=True)
POLYGONS = match_spec(FUNCTION, TASK, allow_unmatched_labels=True, conv_mask_to_poly=True)
HEAD, TAIL = 23, 24
BOX = [1, 2, 3, 4]


def validated(
    *objects: Any, match: SpecMatch = MATCH, options: ValidationOptions = KEEP
) -> Outcome:
    outcome = Outcome(frame=FRAME, detections=read_output(objects))
    return validate_frame(outcome, match, options)


def failure_of(*objects: Any, **kwargs: Any) -> Failure:
    failure = validated(*objects, **kwargs).failure
    assert failure is not None
    assert failure.step == "validate"
    return failure


def value(spec_id: int, text: str) -> models.AttributeValRequest:
    return models.AttributeValRequest(spec_id=spec_id, value=text)


def element(**changes: Any) -> models.SubLabeledShapeRequest:
    fields = {"type": "points", "label_id": HEAD, "frame": 0, "points": [1, 2]} | changes
    return models.SubLabeledShapeRequest(**fields)
