"""Validating a frame: which problem is reported, and how."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import cvat_sdk.auto_annotation as cvataa
import pytest
from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.check.errors import RejectedShapeError, TooManyShapesError
from cvat_flows.tasks.check.remap import RemapOptions, remap_frame
from cvat_flows.tasks.check.validate import ValidationOptions, check_detections, validate_frame
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Failure, Outcome
from tests.tasks.check.validation_cases import (
    BOX,
    FRAME,
    KEEP,
    MATCH,
    failure_of,
    validated,
)


def test_a_violation_of_the_protocol_comes_before_a_rejected_shape() -> None:
    failure = failure_of(cvataa.rectangle(1, [1]), cvataa.rectangle(111, BOX))
    assert failure.error == "annotation 1: function output shape with unknown label ID (111)"


def test_the_first_rejected_shape_is_named() -> None:
    assert failure_of(cvataa.rectangle(1, [1]), cvataa.rectangle(1, [])).annotation_index == 0


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
