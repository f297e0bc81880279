"""Matching with a label mapping."""

from __future__ import annotations

import pytest

from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.match import compare_spec, match_spec
from cvat_flows.tasks.model.labels import Attribute, Label
from tests.tasks.matching.example_labels import (
    AGE,
    FUNCTION,
    KIND,
    NOTE,
    OTHER_TASK,
    SEEN,
    TASK,
    attribute,
    mismatch_of,
)


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
