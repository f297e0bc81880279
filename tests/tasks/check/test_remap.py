"""Remapping converts ids, applies thresholds and adds keypoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import evolve
from cvat_sdk.auto_annotation import BadFunctionError
from hypothesis import assume, event, given
from hypothesis import strategies as st

from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.check.remap import (
    BELOW_THRESHOLD,
    KEYPOINTS_ADDED,
    UNMATCHED,
    RemapOptions,
    ThresholdError,
    check_thresholds,
    remap_frame,
)
from cvat_flows.tasks.check.validate import ValidationOptions, validate_frame
from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.matching.result import LabelMatch, SpecMatch
from cvat_flows.tasks.model.annotations import Annotation, Detection
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.labels import Attribute, Label, labels_of_rows, labels_of_spec
from tests.tasks.matching.spec_cases import FIRST_TASK_ID, FRAME, Case, cases

HEAD, TAIL, PAW = (
    Label(id=i, name=n, type="points") for i, n in enumerate(["head", "tail", "paw"])
)
KIND = Attribute(id=5, name="kind", input_type="select", values=("a", "b", "c"))
FUNCTION = (
    Label(id=1, name="car", attributes=(KIND,)),
    Label(id=2, name="bus"),
    Label(id=3, name="cat", type="skeleton", sublabels=(HEAD, TAIL)),
)
TASK = (
    Label(id=101, name="car", attributes=(evolve(KIND, id=105),)),
    Label(
        id=103,
        name="cat",
        type="skeleton",
        sublabels=tuple(evolve(point, id=110 + point.id) for point in (PAW, TAIL, HEAD)),
    ),
)


def remapped(
    *detections: Detection,
    match: SpecMatch | None = None,
    missing_keypoints: Any = "error",
    thresholds: Mapping[str, float] | None = None,
) -> Outcome:
    match = match or match_spec(FUNCTION, TASK, allow_unmatched_labels=True)
    outcome = Outcome(frame=FRAME, detections=detections, counts={"earlier": 1})
    outcome = validate_frame(outcome, match, ValidationOptions(missing_keypoints=missing_keypoints))
    outcome = remap_frame(outcome, match, RemapOptions(label_thresholds=thresholds or {}))
    assert outcome.counts.pop("earlier") == 1
    return outcome


def box(label_id: int, **fields: Any) -> Detection:
    return Detection(type="rectangle", label_id=label_id, points=(1.0, 2.0, 3.0, 4.0), **fields)


def point(label_id: int, x: float, y: float, **fields: Any) -> Detection:
    return Detection(type="points", label_id=label_id, points=(x, y), **fields)


# -- random functions and tasks -------------------------------------------------------------------


def remapped_case(case: Case) -> tuple[SpecMatch, Outcome]:
    try:
        match = match_spec(
            labels_of_spec(case.spec()),
            labels_of_rows(label.to_dict() for label in case.task_labels()),
            allow_unmatched_labels=case.allow_unmatched_labels,
            conv_mask_to_poly=case.conv_mask_to_poly,
            mapping=load_mapping(case.our_mapping()),
        )
    except BadFunctionError:
        assume(False)
        raise
    outcome = Outcome(frame=FRAME, detections=read_output([make() for make in case.output]))
    options = ValidationOptions(missing_keypoints="outside")
    return match, remap_frame(validate_frame(outcome, match, options), match, RemapOptions())


@given(cases())
def test_annotations_have_only_ids_of_the_task(case: Case) -> None:
    _, outcome = remapped_case(case)
    ids = list(ids_in(outcome.annotations or ()))
    event("some annotations" if ids else "none")
    assert all(id_ >= FIRST_TASK_ID for id_ in ids)
    in_task = {label.id: label for label in case.task}
    for annotation in outcome.annotations or ():
        label = in_task[annotation.label_id]
        assert annotation.frame == FRAME.number
        assert annotation.source == "auto"
        assert {i for i, _ in annotation.attributes} <= {a.id for a in label.attributes}
        elements = [element.label_id for element in annotation.elements]
        if annotation.type == "skeleton":
            assert sorted(elements) == sorted(s.id for s in label.sublabels)
        for element in annotation.elements:
            assert element.frame == FRAME.number


def ids_in(annotations: tuple[Annotation, ...]) -> Iterator[int]:
    for annotation in annotations:
        yield annotation.label_id
        yield from (spec_id for spec_id, _ in annotation.attributes)
        yield from ids_in(annotation.elements)


@given(cases(mapped=False))
def test_remapping_can_be_reversed(case: Case) -> None:
    """By name no two labels of a function go to one of the task, so there is a way back."""
    match, outcome = remapped_case(case)
    if outcome.annotations is None:
        return
    back = {label.id: (id_, label) for id_, label in match.labels.items() if label is not None}
    restored = [
        original(annotation, *back[annotation.label_id]) for annotation in outcome.annotations
    ]
    kept = [
        what_is_kept(detection, label)
        for detection in outcome.detections or ()
        if (label := match.labels[detection.label_id]) is not None
    ]
    event(f"{min(len(kept), 2)} kept")
    assert restored == kept


def original(annotation: Annotation, label_id: int, label: LabelMatch) -> Detection:
    """The detection that an annotation was made from; what was added to it has no way back."""
    attributes = {a.id: id_ for id_, a in label.attributes.items() if a is not None}
    sublabels = {s.id: (id_, s) for id_, s in label.sublabels.items() if s is not None}
    return Detection(
        type=annotation.type,
        label_id=label_id,
        points=annotation.points,
        rotation=annotation.rotation,
        occluded=annotation.occluded,
        outside=annotation.outside,
        z_order=annotation.z_order,
        group=annotation.group,
        score=annotation.score,
        attributes=tuple((attributes[id_], value) for id_, value in annotation.attributes),
        elements=tuple(
            original(element, *sublabels[element.label_id])
            for element in annotation.elements
            if element.label_id in sublabels
        ),
    )


def what_is_kept(detection: Detection, label: LabelMatch) -> Detection:
    there = {
        e.label_id: s for e in detection.elements if (s := label.sublabels[e.label_id]) is not None
    }
    wanted = {s.id for s in label.sublabels.values() if s is not None}
    assume(detection.type != "skeleton" or len(there) == len(wanted))
    return evolve(
        detection,
        points=() if detection.type == "skeleton" else detection.points,
        attributes=tuple((i, v) for i, v in detection.attributes if label.attributes[i]),
        elements=tuple(
            what_is_kept(e, there[e.label_id]) for e in detection.elements if e.label_id in there
        ),
    )


# -- thresholds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "kept"),
    [
        ({}, [0.1, 0.5, None, 0.2]),
        ({"car": 0.5}, [0.5, None, 0.2]),
        ({"car": 0.5001}, [None, 0.2]),
        ({"car": 0}, [0.1, 0.5, None, 0.2]),
        ({"*": 0.15}, [0.5, None, 0.2]),
        ({"*": 0.3, "car": 0.05}, [0.1, 0.5, None]),
        ({"*": 1}, [None]),
    ],
)
def test_annotations_below_the_threshold_are_dropped(
    thresholds: dict[str, float], kept: list[float | None]
) -> None:
    mapping = load_mapping({"bus": "car"})
    match = match_spec(FUNCTION, TASK[:1], allow_unmatched_labels=True, mapping=mapping)
    found = (box(1, score=0.1), box(1, score=0.5), box(1), box(2, score=0.2))
    outcome = remapped(*found, match=match, thresholds=thresholds)
    assert [annotation.score for annotation in outcome.annotations or ()] == kept
    left_out = 4 - len(kept)
    assert outcome.counts == ({BELOW_THRESHOLD: left_out} if left_out else {})
    assert outcome.detections == found


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_score_equal_to_the_threshold_is_kept(score: float, threshold: float) -> None:
    outcome = remapped(box(1, score=score), thresholds={"car": threshold})
    assert bool(outcome.annotations) == (score >= threshold)


def test_all_invalid_thresholds_are_named() -> None:
    check_thresholds({"car": 0.5, "*": 0, "bus": 1}, FUNCTION)
    with pytest.raises(ThresholdError) as caught:
        check_thresholds({"Car": 0.5, "bus": 1.5, "cat": float("nan"), "zebra": True}, FUNCTION)
    said = str(caught.value)
    assert "no label 'Car'; did you mean 'car'?" in said
    assert "1.5 for 'bus' is not a number from 0 to 1" in said
    assert "nan for 'cat'" in said
    assert "no label 'zebra';" in said
    assert "True for 'zebra'" in said
    assert isinstance(caught.value, ValueError)


# -- what is left out, changed and added ----------------------------------------------------------


def test_unmatched_labels_are_dropped_and_counted() -> None:
    outcome = remapped(box(2), box(1), box(2))
    assert [annotation.label_id for annotation in outcome.annotations or ()] == [101]
    assert outcome.counts == {UNMATCHED: 2}


def test_attribute_values_are_mapped() -> None:
    mapping = load_mapping({"car": {"attributes": {"kind": {"values": {"a": "b", "c": None}}}}})
    match = match_spec(FUNCTION[:1], TASK, mapping=mapping)
    found = [box(1, attributes=((5, value),)) for value in "abc"]
    outcome = remapped(*found, match=match)
    assert [a.attributes for a in outcome.annotations or ()] == [((105, "b"),), ((105, "b"),), ()]


def test_a_dropped_value_does_not_block_another() -> None:
    mapping = load_mapping({"car": {"attributes": {"kind": {"values": {"c": None}}}}})
    match = match_spec(FUNCTION[:1], TASK, mapping=mapping)
    outcome = remapped(box(1, attributes=((5, "c"), (5, "a"))), match=match)
    assert (outcome.annotations or ())[0].attributes == ((105, "a"),)


def test_missing_keypoints_are_added_at_the_centre_as_outside() -> None:
    skeleton = Detection(
        type="skeleton",
        label_id=3,
        elements=(point(1, 10, 20), point(0, 30, 50, occluded=True)),
    )
    assert remapped(skeleton).failure is not None
    outcome = remapped(skeleton, missing_keypoints="outside")
    (annotation,) = outcome.annotations or ()
    shown = [(e.label_id, e.points, e.occluded, e.outside) for e in annotation.elements]
    assert shown == [
        (111, (10, 20), False, False),
        (110, (30, 50), True, False),
        (112, (20, 35), False, True),
    ]
    assert outcome.counts == {KEYPOINTS_ADDED: 1}


def test_the_centre_is_that_of_visible_keypoints() -> None:
    match = match_spec(FUNCTION[2:], TASK)
    far_off = point(0, 900, 900, outside=True)
    for elements, middle in [
        ((point(1, 10, 20), far_off), (10, 20)),
        ((far_off,), (900, 900)),
    ]:
        skeleton = Detection(type="skeleton", label_id=3, elements=elements)
        outcome = remapped(skeleton, match=match, missing_keypoints="outside")
        (annotation,) = outcome.annotations or ()
        assert annotation.elements[-1].points == middle


def test_remapping_does_not_change_its_input() -> None:
    match = match_spec(FUNCTION, TASK, allow_unmatched_labels=True)
    shared = box(1, attributes=((5, "a"),))
    first, second = remapped(shared, match=match), remapped(shared, shared, match=match)
    assert (first.annotations or ()) * 2 == second.annotations
    assert shared == box(1, attributes=((5, "a"),))
