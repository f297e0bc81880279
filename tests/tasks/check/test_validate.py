"""Each rule for the output of a function, with its message."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import pytest
from attrs import evolve
from cvat_sdk import models
from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.check.errors import BadOutputError, RejectedShapeError, TooManyShapesError
from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.check.remap import RemapOptions, remap_frame
from cvat_flows.tasks.check.validate import ValidationOptions, check_detections, validate_frame
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.annotations import Detection
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


PROTOCOL = {
    "function output an object of type 'int' (expected 'LabeledImageRequest' or"
    " 'LabeledShapeRequest')": 5,
    "function output shape with preset id": cvataa.rectangle(1, BOX, id=3),
    "function output tag with preset source": cvataa.tag(1, source="auto"),
    "function output shape with unexpected frame number (1)": models.LabeledShapeRequest(
        type="rectangle", label_id=1, frame=1, points=BOX
    ),
    "function output shape with unknown label ID (111)": cvataa.rectangle(111, BOX),
    "function output tag with unknown label ID (111)": cvataa.tag(111),
    "function output attribute with unknown ID (99)": cvataa.rectangle(
        1, BOX, attributes=[value(99, "a")]
    ),
    "function output shape with multiple attributes with same ID": cvataa.rectangle(
        1, BOX, attributes=[value(11, "a"), value(11, "b")]
    ),
    "function output attribute value ('c') that is unsuitable for its attribute (10)": (
        cvataa.rectangle(1, BOX, attributes=[value(10, "c")])
    ),
    "function output attribute value ('11') that is unsuitable for its attribute (12)": (
        cvataa.tag(1, attributes=[value(12, "11")])
    ),
    "function output shape of type 'ellipse' (expected 'rectangle')": cvataa.shape(
        3, type="ellipse", points=BOX
    ),
    "function output shape of type 'rectangle' (expected 'tag')": cvataa.rectangle(4, BOX),
    "function output tag (expected shape of type 'rectangle')": cvataa.tag(3),
    "function output tag (expected shape of type 'skeleton')": cvataa.tag(2),
    "function output shape element with preset id": cvataa.skeleton(2, [element(id=1)]),
    "function output shape element with preset source": cvataa.skeleton(2, [element(source="a")]),
    "function output shape element with unexpected frame number (2)": cvataa.skeleton(
        2, [element(frame=2)]
    ),
    "function output skeleton with element type other than 'points' (rectangle)": (
        cvataa.skeleton(2, [element(type="rectangle", points=BOX)])
    ),
    "function output shape with unknown sublabel ID (56)": cvataa.skeleton(
        2, [element(label_id=56)]
    ),
    "function output skeleton with multiple elements with same sublabel": cvataa.skeleton(
        2, [element(), element()]
    ),
    "function output skeleton with fewer elements than expected (1 vs 2)": cvataa.skeleton(
        2, [element()]
    ),
    "function output non-skeleton shape with elements": cvataa.rectangle(
        1, BOX, elements=[element()]
    ),
}


@pytest.mark.parametrize("message", PROTOCOL)
def test_each_rule_of_the_protocol_has_the_message_of_the_sdk(message: str) -> None:
    failure = failure_of(cvataa.rectangle(1, BOX), PROTOCOL[message])
    assert failure.error == f"annotation 1: {message}"
    assert (failure.annotation_index, failure.error_type) == (1, "BadOutputError")


def test_masks_are_rejected_if_polygons_were_requested() -> None:
    mask = cvataa.mask(1, [1, 0, 0, 0, 0])
    assert validated(mask).failure is None
    assert "conv_mask_to_poly=True" in failure_of(mask, match=POLYGONS).error


SERVER = {
    "rectangle with 3 numbers in its points (expected 4)": cvataa.rectangle(1, [1, 2, 3]),
    "ellipse with 5 numbers in its points (expected 4)": cvataa.shape(
        1, type="ellipse", points=[1, 2, 3, 4, 5]
    ),
    "cuboid with 8 numbers in its points (expected 16)": cvataa.shape(
        1, type="cuboid", points=[1.0] * 8
    ),
    "polygon with 4 numbers in its points (expected at least 6, an even number)": cvataa.polygon(
        1, BOX
    ),
    "polygon with 7 numbers in its points (expected at least 6, an even number)": cvataa.polygon(
        1, [1] * 7
    ),
    "polyline with 2 numbers in its points (expected at least 4, an even number)": cvataa.shape(
        1, type="polyline", points=[1, 2]
    ),
    "points with 0 numbers in its points (expected at least 2, an even number)": cvataa.shape(
        1, type="points"
    ),
    "mask with 4 numbers in its points (expected at least 5)": cvataa.mask(1, BOX),
    "mask whose run lengths add up to 3 pixels, but its box [0, 0, 1, 1] has 4": cvataa.mask(
        1, [1, 2, 0, 0, 1, 1]
    ),
    "mask with a negative run length": cvataa.mask(1, [-1, 2, 0, 0, 0, 0]),
    "mask with an inverted box [1, 0, 0, 0]": cvataa.mask(1, [0, 1, 0, 0, 0]),
    "mask with a fraction in its points (expected run lengths and a box in whole pixels)": (
        cvataa.mask(1, [1, 0.5, 0, 0, 0])
    ),
    "rectangle with nan in its points (expected finite numbers)": cvataa.rectangle(
        1, [1, float("nan"), 3, 4]
    ),
    "polygon with -inf in its points (expected finite numbers)": cvataa.polygon(
        1, [1, 2, 3, 4, 5, -float("inf")]
    ),
    "rectangle with rotation nan (expected 0 to 360 degrees)": cvataa.rectangle(
        1, BOX, rotation=float("nan")
    ),
    "rectangle with score nan (expected 0 to 1)": cvataa.rectangle(1, BOX, score=float("nan")),
    "tag with score 2 (expected 0 to 1)": cvataa.tag(1, score=2),
    "rectangle with group 2147483648 (expected an integer from 0 to 2147483647)": (
        cvataa.rectangle(1, BOX, group=2**31)
    ),
    "rectangle with z_order 2147483648 (expected an integer from -2147483647 to 2147483647)": (
        cvataa.rectangle(1, BOX, z_order=2**31)
    ),
    "rectangle with text that CVAT cannot store as the value of attribute 'note'": (
        cvataa.rectangle(1, BOX, attributes=[value(11, "a\0b")])
    ),
    "tag with text that CVAT cannot store as the value of attribute 'note'": cvataa.tag(
        1, attributes=[value(11, "\udfff")]
    ),
    "skeleton, element 1 ('head') with 3 numbers in its points (expected at least 2, an even"
    " number)": cvataa.skeleton(2, [element(label_id=TAIL), element(points=[1, 2, 3])]),
}


@pytest.mark.parametrize("message", SERVER)
def test_each_rule_of_the_server(message: str) -> None:
    failure = failure_of(cvataa.rectangle(1, BOX), SERVER[message])
    assert failure.error.removeprefix("annotation 1: function output ") in (
        message,
        message.replace("score 2 ", "score 2.0 "),
    )
    assert (failure.annotation_index, failure.error_type) == (1, "RejectedShapeError")


@pytest.mark.parametrize(
    "changes",
    [
        {"points": (1, None, 3, 4)},
        {"points": ("1", 2, 3, 4)},
        {"points": (True, 2, 3, 4)},
        {"rotation": 361},
        {"rotation": -0.5},
        {"rotation": "10"},
        {"rotation": None},
        {"group": -1},
        {"group": 1.5},
        {"group": True},
        {"z_order": None},
        {"z_order": 1.5},
        {"occluded": None},
        {"outside": 1},
        {"score": "high"},
        {"score": -0.1},
        {"label_id": "1"},
        {"label_id": None},
        {"label_id": [1]},
        {"label_id": 1.5},
        {"frame": None},
        {"frame": float("nan")},
        {"type": "interval"},
        {"attributes": ((11, None),)},
        {"attributes": ((11, True),)},
        {"attributes": ((11, "x" * 4097),)},
        {"attributes": ((12, "ten"),)},
        {"attributes": ((12, float("inf")),)},
        {"attributes": ((None, "a"),)},
        {"attributes": (([], "a"),)},
    ],
)
def test_invalid_values_that_the_models_accept(changes: dict[str, Any]) -> None:
    good = Detection(type="rectangle", label_id=1, points=(1.0, 2.0, 3.0, 4.0))
    check_detections([good], MATCH)
    with pytest.raises(BadOutputError) as caught:
        check_detections([good, evolve(good, **changes)], MATCH)
    assert caught.value.index == 1


def test_numbers_of_other_types_are_accepted() -> None:
    shape = Detection(
        type="rectangle",
        label_id=np.int64(1),
        points=(1, np.float32(2.5), np.int64(3), 4.0),
        rotation=90,
        score=np.float64(0.5),
        attributes=((12, 5), (11, 2.5)),
    )
    outcome = Outcome(frame=FRAME, detections=(shape,))
    outcome = remap_frame(validate_frame(outcome, MATCH, KEEP), MATCH, RemapOptions())
    (annotation,) = outcome.annotations or ()
    assert annotation.points == (1.0, 2.5, 3.0, 4.0)
    assert {type(point) for point in annotation.points} == {float}
    assert annotation.attributes == ((112, "5"), (111, "2.5"))


def test_a_violation_of_the_protocol_comes_before_a_rejected_shape() -> None:
    failure = failure_of(cvataa.rectangle(1, [1]), cvataa.rectangle(111, BOX))
    assert failure.error == "annotation 1: function output shape with unknown label ID (111)"


def test_the_first_rejected_shape_is_named() -> None:
    assert failure_of(cvataa.rectangle(1, [1]), cvataa.rectangle(1, [])).annotation_index == 0


def test_dropped_shapes_are_not_checked() -> None:
    dropped = cvataa.rectangle(5, [1, 2, 3], attributes=[value(99, "x")])
    assert validated(dropped).failure is None


@pytest.mark.parametrize("elements", [[], [cvataa.keypoint(0, [1, 1])]])
def test_a_skeleton_needs_an_element(elements: list[Any]) -> None:
    function = (Label(id=1, name="any"), label(2, "cat", 20, "skeleton", "paw"))
    task = (Label(id=101, name="any"), Label(id=102, name="cat", type="skeleton"))
    match = match_spec(function, task, allow_unmatched_labels=True)
    assert "skeleton without elements" in failure_of(cvataa.skeleton(1, []), match=match).error
    # All its elements go nowhere.
    paw = cvataa.skeleton(2, [element(label_id=23)])
    assert "skeleton without elements" in failure_of(paw, match=match).error


def test_some_keypoints_may_be_missing_but_not_all() -> None:
    outside = ValidationOptions(missing_keypoints="outside")
    assert validated(cvataa.skeleton(2, [element()]), options=outside).failure is None
    error = failure_of(cvataa.skeleton(2, []), options=outside).error
    assert "fewer elements than expected (0 vs 2)" in error


def test_reading_stops_at_the_limit() -> None:
    read = 0

    def endless() -> Iterator[Detection]:
        nonlocal read
        while True:
            read += 1
            yield Detection(type="tag", label_id=4)

    with pytest.raises(TooManyShapesError, match="more than 50 annotations"):
        check_detections(endless(), MATCH, ValidationOptions(max_shapes_per_frame=50))
    assert read == 51
    exactly = [Detection(type="tag", label_id=4)] * 50
    check_detections(exactly, MATCH, ValidationOptions(max_shapes_per_frame=50))
    check_detections(exactly * 300, MATCH, ValidationOptions(max_shapes_per_frame=None))


def test_a_frame_outside_the_task_fails() -> None:
    assert validated(options=ValidationOptions(task_size=8)).failure is None
    failure = failure_of(options=ValidationOptions(task_size=7))
    assert "frame 7 is not in the task, which has 7 frames" in failure.error
    assert failure.annotation_index is None


def test_outcomes_without_detections_are_unchanged() -> None:
    earlier = Failure(step="detect", error="x", error_type="X")
    for outcome in (Outcome(frame=FRAME), Outcome(frame=FRAME, detections=(), failure=earlier)):
        assert validate_frame(outcome, MATCH, KEEP) is outcome
        assert remap_frame(outcome, MATCH, RemapOptions()) is outcome


def test_the_detail_is_a_short_form_of_the_annotation() -> None:
    failure = failure_of(cvataa.mask(1, [1.0] * 100_000))
    assert failure.detail.startswith('{"type": "mask", "label_id": 1, "points": [1.0, 1.0')
    assert len(failure.detail) == 2000


def test_errors_can_be_pickled() -> None:
    error = RejectedShapeError("no good", 3)
    assert isinstance(error, BadFunctionError)
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.index) == ("no good", 3)
