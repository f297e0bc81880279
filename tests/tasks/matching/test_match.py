"""Matching by name: all mismatches with hints, and the table."""

from __future__ import annotations

import pickle
import sys

import pytest
from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.matching.match import compare_spec, match_spec
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.labels import BadSpecError, Label, labels_of_spec
from tests.tasks.matching.example_labels import (
    CAR,
    FUNCTION,
    HEAD,
    OTHER_TASK,
    TASK,
    attribute,
    mismatch_of,
)


def test_names_are_mapped_to_the_tasks_ids() -> None:
    match = match_spec(FUNCTION, TASK)
    car, cat = match.labels[1], match.labels[2]
    assert car is not None
    assert cat is not None
    assert (car.id, cat.id, cat.keypoints) == (101, 102, (111, 112))
    assert {key: a.id for key, a in car.attributes.items() if a} == {1: 201, 2: 202, 3: 203, 4: 204}
    assert {key: s.id for key, s in cat.sublabels.items() if s} == {1: 111, 2: 112}
    assert {row.status for row in match.rows} == {"matched"}


def test_all_mismatches_are_named_in_the_order_of_the_sdk() -> None:
    function = (Label(id=0, name="crab"), *FUNCTION)
    mismatch = mismatch_of(function, OTHER_TASK)
    assert [row.message for row in mismatch.mismatches] == [
        "label 'crab' is not in the task",
        "label 'car' is not in the task",
        "sublabel 'head' of label 'cat' is not in the task",
        "sublabel 'tail' of label 'cat' is not in the task",
        "label 'bus' has type 'mask' in the function, but 'polygon' in the task",
    ]
    for row in mismatch.mismatches:
        assert row.message in str(mismatch)
    assert isinstance(mismatch, BadFunctionError)
    assert isinstance(mismatch, CvatFlowsError)
    assert "--allow-unmatched-labels" in str(mismatch)


def test_mismatched_attributes_are_described() -> None:
    task = (
        Label(
            id=101,
            name="car",
            attributes=(
                attribute(201, "kind", "select", "small"),
                attribute(202, "age", "text"),
                attribute(204, "Note", "text"),
            ),
        ),
    )
    messages = [row.message for row in mismatch_of((CAR,), task).mismatches]
    assert messages == [
        "attribute 'kind' of label 'car' has values ['small', 'large'] in the function,"
        " but ['small'] in the task",
        "attribute 'age' of label 'car' has input type number in the function,"
        " but text in the task",
        "attribute 'seen' of label 'car' is not in the task",
        "attribute 'note' of label 'car' is not in the task",
    ]


@pytest.mark.parametrize(
    ("wanted", "there", "hint"),
    [
        ("traffic light", ["bus", "Traffic_Light", "traffic sign"], "Traffic_Light"),
        ("cra", ["cat", "car"], "car"),
        ("motorbike", ["bike", "motorcycle", "motobike"], "motobike"),
        ("dog", ["xyz"], None),
        ("dog", [], None),
    ],
)
def test_the_nearest_name_is_suggested(wanted: str, there: list[str], hint: str | None) -> None:
    task = [Label(id=100 + index, name=name) for index, name in enumerate(there)]
    mismatch = mismatch_of((Label(id=1, name=wanted),), task)
    assert mismatch.mismatches[0].hint == hint
    assert (f"did you mean {hint!r}" in str(mismatch)) == (hint is not None)


def test_unmatched_names_can_be_dropped_but_not_contradictions() -> None:
    match = match_spec(FUNCTION, TASK[1:2], allow_unmatched_labels=True)
    assert match.labels[1] is None
    assert match.labels[3] is None
    assert {row.status for row in match.rows} == {"matched", "ignored"}
    assert "any annotations using it will be ignored" in match.rows[0].message
    mismatch = mismatch_of(FUNCTION, OTHER_TASK, allow_unmatched_labels=True)
    assert [row.status for row in mismatch.mismatches] == ["different type"]


def test_masks_converted_to_polygons_match_a_polygon_label() -> None:
    mask, polygon = Label(id=1, name="a", type="mask"), Label(id=9, name="a", type="polygon")
    assert match_spec((mask,), (polygon,), conv_mask_to_poly=True).labels[1] is not None
    mismatch = mismatch_of((mask,), (Label(id=9, name="a", type="mask"),), conv_mask_to_poly=True)
    assert "has type 'polygon' in the function, but 'mask'" in str(mismatch)


def test_the_table_includes_what_only_the_task_has() -> None:
    task = (*TASK[:1], TASK[1], Label(id=109, name="spare", type="tag"))
    rows = compare_spec((CAR, Label(id=2, name="cat", type="skeleton", sublabels=(HEAD,))), task)
    shown = {(row.kind, row.function, row.task, row.status) for row in rows.rows}
    assert ("label", "car", "car", "matched") in shown
    assert ("attribute", "car > kind", "car > kind", "matched") in shown
    assert ("sublabel", None, "cat > tail", "not produced") in shown
    assert ("label", None, "spare", "not produced") in shown
    order = [row.function for row in rows.rows if row.function]
    assert order.index("car") < order.index("car > kind") < order.index("cat")


def test_a_spec_of_the_wrong_type_is_named() -> None:
    with pytest.raises(BadSpecError, match=r"of type 'dict'.*DetectionFunctionSpec"):
        labels_of_spec({"labels": []})


@pytest.mark.parametrize("suffix", ["", " other"])
def test_the_work_grows_no_faster_than_the_labels(suffix: str) -> None:
    def calls(count: int) -> int:
        function = [Label(id=i, name=f"label {i:04}") for i in range(count)]
        task = [Label(id=5000 + i, name=f"label {i:04}{suffix}") for i in range(count)]
        made = 0

        def count_call(frame: object, event: str, _: object) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(count_call)
        try:
            comparison = compare_spec(function, task)
        finally:
            sys.setprofile(None)
        assert len(comparison.mismatches) == (count if suffix else 0)
        return made

    assert calls(2000) < 2.5 * calls(1000)


def test_a_mismatch_can_be_pickled_and_has_a_short_repr() -> None:
    mismatch = mismatch_of(FUNCTION, OTHER_TASK)
    copied = pickle.loads(pickle.dumps(mismatch))
    assert (str(copied), copied.mismatches) == (str(mismatch), mismatch.mismatches)
    assert copied.rows == mismatch.rows
    assert "MatchRow" not in repr(mismatch)
