"""Matching, validation and remapping agree with the SDK's driver, message by message."""

from __future__ import annotations

from math import isfinite
from typing import Any

import pytest
from cvat_sdk.auto_annotation import BadFunctionError
from hypothesis import assume, event, given

from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.check.remap import RemapOptions, remap_frame
from cvat_flows.tasks.check.validate import ValidationOptions, validate_frame
from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.matching.result import SpecMatch, SpecMismatch
from cvat_flows.tasks.model.annotations import TAG, Annotation
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.labels import labels_of_rows, labels_of_spec
from tests.tasks.matching.case import FRAME, Case
from tests.tasks.matching.case_strategies import FIXED_COUNTS, MIN_COUNTS, cases


def our_match(case: Case) -> SpecMatch:
    return match_spec(
        labels_of_spec(case.spec()),
        labels_of_rows(label.to_dict() for label in case.task_labels()),
        allow_unmatched_labels=case.allow_unmatched_labels,
        conv_mask_to_poly=case.conv_mask_to_poly,
        mapping=load_mapping(case.our_mapping()),
    )


def our_outcome(case: Case, match: SpecMatch) -> Outcome:
    detections = read_output([make() for make in case.output])
    outcome = Outcome(frame=FRAME, detections=detections)
    return remap_frame(validate_frame(outcome, match, ValidationOptions()), match, RemapOptions())


@given(cases())
def test_the_first_mismatch_equals_the_sdks_error(case: Case) -> None:
    try:
        case.sdk_mapper()
    except BadFunctionError as error:
        refusal = str(error)
    else:
        our_match(case)
        event("fits")
        return
    event("does not fit")
    with pytest.raises(SpecMismatch) as caught:
        our_match(case)
    first = caught.value.mismatches[0]
    assert first.sdk_message == refusal
    assert str(caught.value).startswith(first.message)


@given(cases())
def test_output_is_validated_and_remapped_like_the_sdk(case: Case) -> None:
    try:
        mapper = case.sdk_mapper()
    except BadFunctionError:
        assume(False)
    outcome = our_outcome(case, our_match(case))
    made = [make() for make in case.output]
    refusal = None
    try:
        tags, shapes = mapper.validate_and_remap(made, FRAME.number)
    except BadFunctionError as error:
        refusal = str(error)
    if refusal is not None:
        event("refused by both")
        assert outcome.failure is not None
        assert outcome.failure.error == f"annotation {outcome.failure.annotation_index}: {refusal}"
        assert outcome.annotations is None
        return
    rejected = not all(server_takes(body_of_model(shape)) for shape in [*tags, *shapes])
    if outcome.failure is not None:
        event("the server would refuse it")
        assert outcome.failure.error_type == "RejectedShapeError", outcome.failure
        assert rejected
        return
    event(f"accepted, {len(tags)} tags, {len(shapes)} shapes")
    assert not rejected
    ours = outcome.annotations or ()
    assert [body(a) for a in ours if a.type == TAG] == [body_of_model(tag) for tag in tags]
    assert [body(a) for a in ours if a.type != TAG] == [body_of_model(shape) for shape in shapes]


def server_takes(shape: dict[str, Any]) -> bool:
    """Return whether CVAT and its UI accept a shape, by rules written independently of ours."""
    if shape["type"] == TAG:
        return True
    points, kind = shape["points"], shape["type"]
    if kind == "skeleton":
        return bool(shape["elements"]) and all(map(server_takes, shape["elements"]))
    if not all(map(isfinite, points)):
        return False
    if kind == "mask":
        *runs, left, top, right, bottom = points or [0] * 4
        return (
            len(runs) > 0
            and all(float(point).is_integer() for point in points)
            and all(run >= 0 for run in runs)
            and right >= left
            and bottom >= top
            and sum(runs) == (right - left + 1) * (bottom - top + 1)
        )
    if kind in FIXED_COUNTS:
        return len(points) == FIXED_COUNTS[kind]
    return len(points) >= MIN_COUNTS[kind] and len(points) % 2 == 0


def body_of_model(model: Any) -> dict[str, Any]:
    """What the SDK would upload, with the server's defaults filled in."""
    kind = model.type.value if hasattr(model, "type") else TAG
    return {
        "type": kind,
        "label_id": model.label_id,
        "frame": model.frame,
        "points": list(getattr(model, "points", [])) if kind != "skeleton" else [],
        "rotation": getattr(model, "rotation", 0.0),
        "occluded": getattr(model, "occluded", False),
        "outside": getattr(model, "outside", False),
        "z_order": getattr(model, "z_order", 0),
        "group": getattr(model, "group", None),
        "score": getattr(model, "score", None),
        "source": model.source,
        "attributes": [(a.spec_id, a.value) for a in getattr(model, "attributes", [])],
        "elements": [body_of_model(element) for element in getattr(model, "elements", [])],
    }


def body(annotation: Annotation) -> dict[str, Any]:
    return {
        "type": annotation.type,
        "label_id": annotation.label_id,
        "frame": annotation.frame,
        "points": list(annotation.points),
        "rotation": annotation.rotation,
        "occluded": annotation.occluded,
        "outside": annotation.outside,
        "z_order": annotation.z_order,
        "group": annotation.group,
        "score": annotation.score,
        "source": annotation.source,
        "attributes": list(annotation.attributes),
        "elements": [body(element) for element in annotation.elements],
    }
