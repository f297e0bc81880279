"""Remapping applies thresholds, maps values and adds keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

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
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.labels import Attribute, Label
from tests.tasks.matching.case import FRAME

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
