"""Annotations that the protocol allows but CVAT would not accept."""

from __future__ import annotations

from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import pytest
from attrs import evolve

from cvat_flows.tasks.check.errors import BadOutputError
from cvat_flows.tasks.check.remap import RemapOptions, remap_frame
from cvat_flows.tasks.check.validate import check_detections, validate_frame
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.labels import Label
from tests.tasks.check.validation_cases import (
    BOX,
    FRAME,
    KEEP,
    MATCH,
    TAIL,
    element,
    failure_of,
    label,
    value,
)

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


@pytest.mark.parametrize("elements", [[], [cvataa.keypoint(0, [1, 1])]])
def test_a_skeleton_needs_an_element(elements: list[Any]) -> None:
    function = (Label(id=1, name="any"), label(2, "cat", 20, "skeleton", "paw"))
    task = (Label(id=101, name="any"), Label(id=102, name="cat", type="skeleton"))
    match = match_spec(function, task, allow_unmatched_labels=True)
    assert "skeleton without elements" in failure_of(cvataa.skeleton(1, []), match=match).error
    # All its elements go nowhere.
    paw = cvataa.skeleton(2, [element(label_id=23)])
    assert "skeleton without elements" in failure_of(paw, match=match).error
