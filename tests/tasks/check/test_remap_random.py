"""Remapping random functions, tasks and outputs."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve
from cvat_sdk.auto_annotation import BadFunctionError
from hypothesis import assume, event, given

from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.check.remap import (
    RemapOptions,
    remap_frame,
)
from cvat_flows.tasks.check.validate import ValidationOptions, validate_frame
from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.match import match_spec
from cvat_flows.tasks.matching.result import LabelMatch, SpecMatch
from cvat_flows.tasks.model.annotations import Annotation, Detection
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.model.labels import labels_of_rows, labels_of_spec
from tests.tasks.matching.case import FIRST_TASK_ID, FRAME, Case
from tests.tasks.matching.case_strategies import cases


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
