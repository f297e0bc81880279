"""Each rule of the AA-function protocol, with the SDK's message."""

from __future__ import annotations

import cvat_sdk.auto_annotation as cvataa
import pytest
from cvat_sdk import models

from cvat_flows.tasks.check.validate import ValidationOptions
from tests.tasks.check.validation_cases import (
    BOX,
    POLYGONS,
    element,
    failure_of,
    validated,
    value,
)

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


def test_dropped_shapes_are_not_checked() -> None:
    dropped = cvataa.rectangle(5, [1, 2, 3], attributes=[value(99, "x")])
    assert validated(dropped).failure is None


def test_some_keypoints_may_be_missing_but_not_all() -> None:
    outside = ValidationOptions(missing_keypoints="outside")
    assert validated(cvataa.skeleton(2, [element()]), options=outside).failure is None
    error = failure_of(cvataa.skeleton(2, []), options=outside).error
    assert "fewer elements than expected (0 vs 2)" in error
