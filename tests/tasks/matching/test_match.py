"""Matching reports every mismatch, with hints, and makes a table."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest
from cvat_sdk.auto_annotation import BadFunctionError

from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.match import compare_spec, match_spec
from cvat_flows.tasks.matching.result import SpecMismatch
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.labels import Attribute, BadSpecError, Label, labels_of_spec

KIND = Attribute(id=1, name="kind", input_type="select", values=("small", "large"))
AGE = Attribute(id=2, name="age", input_type="number", values=("0", "10", "1"))
SEEN = Attribute(id=3, name="seen", input_type="checkbox")
NOTE = Attribute(id=4, name="note", input_type="text")
HEAD = Label(id=1, name="head", type="points")
TAIL = Label(id=2, name="tail", type="points")
CAR = Label(id=1, name="car", attributes=(KIND, AGE, SEEN, NOTE))
CAT = Label(id=2, name="cat", type="skeleton", sublabels=(HEAD, TAIL))
FUNCTION = (CAR, CAT, Label(id=3, name="bus", type="mask"))


def attribute(id_: int, name: str, input_type: str, *values: str) -> Attribute:
    return Attribute(id=id_, name=name, input_type=input_type, values=values)


TASK = (
    Label(
        id=101,
        name="car",
        attributes=(
            attribute(201, "kind", "select", "large", "small"),
            attribute(202, "age", "number", "0", "10", "1"),
            attribute(203, "seen", "checkbox", "false"),
            attribute(204, "note", "text", ""),
        ),
    ),
    Label(
        id=102,
        name="cat",
        type="skeleton",
        sublabels=(
            Label(id=111, name="head", type="points"),
            Label(id=112, name="tail", type="points"),
        ),
    ),
    Label(id=103, name="bus", type="mask"),
)
OTHER_TASK = (
    Label(
        id=101,
        name="Vehicle",
        attributes=(
            attribute(201, "size", "select", "S", "L"),
            attribute(202, "age", "number", "0", "99", "1"),
        ),
    ),
    Label(id=102, name="cat", type="skeleton", sublabels=(Label(id=111, name="Head"),)),
    Label(id=103, name="bus", type="polygon"),
)


def mismatch_of(*args: Any, **kwargs: Any) -> SpecMismatch:
    with pytest.raises(SpecMismatch) as caught:
        match_spec(*args, **kwargs)
    return caught.value


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


def test_a_mapping_renames_joins_and_drops() -> None:
    mapping = load_mapping(
        """
        car:
          name: Vehicle
          attributes:
            kind: {name: size, values: {small: S, large: L}}
            "*": null
        bus: null
        cat:
          sublabels:
            head: Head
            tail: null
        """
    )
    match = match_spec(FUNCTION, OTHER_TASK, mapping=mapping)
    car, cat = match.labels[1], match.labels[2]
    assert car is not None
    assert cat is not None
    assert (car.id, car.task_name, match.labels[3]) == (101, "Vehicle", None)
    size = car.attributes[1]
    assert size is not None
    assert (size.id, size.map_value("small"), size.map_value("large")) == (201, "S", "L")
    assert [car.attributes[key] for key in (2, 3, 4)] == [None, None, None]
    assert cat.sublabels[1] is not None
    assert cat.sublabels[2] is None


def test_the_wildcard_can_map_to_one_label() -> None:
    mapping = load_mapping({"car": "car", "*": "object"})
    task = (Label(id=101, name="car"), Label(id=102, name="object"))
    function = tuple(Label(id=i, name=n) for i, n in enumerate(["car", "bus", "cat"]))
    match = match_spec(function, task, mapping=mapping)
    assert [label.id for label in match.labels.values() if label] == [101, 102, 102]


def test_every_unknown_name_in_a_mapping_is_an_error() -> None:
    mapping = load_mapping(
        {
            "carr": "car",
            "car": {
                "attributes": {
                    "kynd": "kind",
                    "kind": {"values": {"smal": "small"}},
                    "note": "remark",
                }
            },
            "bus": "buss",
            "cat": {"sublabels": {"hed": "head", "head": {"attributes": {"x": None}}}},
        }
    )
    mismatch = mismatch_of(FUNCTION, TASK, mapping=mapping, allow_unmatched_labels=True)
    found = {row.message: row.hint for row in mismatch.mismatches}
    assert found == {
        "attribute 'note' of label 'car' is not in the task under the name 'remark' given by the"
        " mapping": None,
        "label 'bus' is not in the task under the name 'buss' given by the mapping": "bus",
        "label 'carr' is in the mapping, but not in the function": "car",
        "attribute 'kynd' of label 'car' is in the mapping, but not in the function": "kind",
        "value 'smal' of attribute 'kind' of label 'car' is in the mapping, but not in the"
        " function": "small",
        "sublabel 'hed' of label 'cat' is in the mapping, but not in the function": "head",
        "attribute 'x' of sublabel 'head' of label 'cat' is in the mapping, but not in the"
        " function": None,
    }


def test_names_under_the_wildcard_must_exist_in_a_covered_label() -> None:
    task = tuple(Label(id=100 + i, name=n) for i, n in enumerate(["car", "cat", "bus"]))
    drop_all = {"*": {"attributes": {"kind": None, "*": None}, "sublabels": {"*": None}}}
    assert match_spec(FUNCTION[:1], task, mapping=load_mapping(drop_all)).labels[1] is not None
    # The label that has the attribute is not there, or listed by itself.
    for function, mapping in [(FUNCTION[1:], drop_all), (FUNCTION, drop_all | {"car": "car"})]:
        mismatch = mismatch_of(function, TASK, mapping=load_mapping(mapping))
        assert "attribute 'kind' of label '*' is in the mapping" in str(mismatch)


@pytest.mark.parametrize(
    ("mine", "theirs", "values", "fits"),
    [
        (KIND, ("select", "S", "L"), {"small": "S", "large": "L"}, True),
        (KIND, ("select", "S", "L"), {"small": "S"}, False),
        (KIND, ("select", "S", "L"), {"small": "S", "*": None}, True),
        (KIND, ("select", "S", "L"), {"*": "S"}, True),
        (KIND, ("select", "S", "L"), {"*": "M"}, False),
        (KIND, ("select", "small", "large"), {"small": "large"}, True),
        (KIND, ("select", "small", "large"), {"small": "medium"}, False),
        (KIND, ("radio", "S", "L"), {"small": "S", "large": "L"}, False),
        (AGE, ("number", "0", "10", "1"), {"3": "4"}, True),
        (AGE, ("number", "0", "10", "1"), {"3": "11"}, False),
        (AGE, ("number", "0", "5", "1"), {"7": "5"}, False),
        (AGE, ("number", "0", "5", "1"), {"7": "5", "*": None}, True),
        (SEEN, ("checkbox",), {"true": "false", "false": "true"}, True),
        (SEEN, ("checkbox",), {"true": "yes"}, False),
        (NOTE, ("text",), {"anything": "else"}, True),
    ],
)
def test_mapped_values_must_be_valid_in_the_task(
    mine: Attribute, theirs: tuple[str, ...], values: dict[str, str | None], fits: bool
) -> None:
    function = (Label(id=1, name="car", attributes=(mine,)),)
    task = (Label(id=9, name="car", attributes=(attribute(99, mine.name, *theirs),)),)
    mapping = load_mapping({"car": {"attributes": {mine.name: {"values": values}}}})
    comparison = compare_spec(function, task, mapping=mapping)
    assert (not comparison.mismatches) == fits, comparison.mismatches


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
