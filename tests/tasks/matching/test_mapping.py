"""Valid mappings, and the errors of invalid ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from cvat_flows.tasks.matching.mapping import LabelMapping, MappingError, load_mapping


def test_dict_text_and_file_are_equivalent(tmp_path: Path) -> None:
    text = 'car: vehicle\nbird: null\ncat: {sublabels: {nose: {name: tip}}}\n"*": "*"\n'
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    plain = {
        "car": "vehicle",
        "bird": None,
        "cat": {"sublabels": {"nose": {"name": "tip"}}},
        "*": "*",
    }
    assert load_mapping(plain) == load_mapping(text) == load_mapping(path)


def test_the_format_of_cvat_is_accepted() -> None:
    mapping = load_mapping(
        {
            "person": {
                "name": "human",
                "attributes": {"sex": "gender"},
                "sublabels": {"nose": {"name": "tip", "attributes": {"seen": "visible"}}},
            }
        }
    )
    person = mapping.label("person")
    assert person.target("person") == "human"
    assert person.attribute("sex").target("sex") == "gender"
    assert person.sublabel("nose").attribute("seen").target("seen") == "visible"


@pytest.mark.parametrize("nothing", [None, {}, "", "# only a comment"])
def test_an_empty_mapping_keeps_names(nothing: Any) -> None:
    assert load_mapping(nothing).label("car") == LabelMapping()
    assert load_mapping(nothing).label("car").target("car") == "car"


def test_the_wildcard_covers_names_that_are_not_listed() -> None:
    mapping = load_mapping({"car": {"attributes": {"*": None}}, "*": None})
    assert mapping.label("bus").target("bus") is None
    assert mapping.label("car").target("car") == "car"
    assert mapping.label("car").attribute("any").target("any") is None
    assert mapping.label("car").sublabel("any").target("any") == "any"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("- car", "it is a list; it must map label names"),
        ("car: [1]", r"car: \[1\] is not a name, null"),
        ("no: car", "False is not a string; put it in quotes"),
        ("car: 1", "car: 1 is not a name"),
        ("car: {name: 1}", "car > name: 1 is not a string; put it in quotes"),
        ("car: bus\ncar: cat", "'car' is given twice, again on line 2"),
        ("car: {nmae: bus}", "car > nmae: unknown field"),
        ("car: {attributes: {age: {values: {1: '2'}}}}", "car > attributes > age > values > 1: 1 "),
        (
            "car: {name: null, attributes: {a: b}}",
            r"car: a dropped name .* cannot have attributes",
        ),
        ('car: ""', "car > name: String should have at least 1"),
        ("car: {a", "this is not YAML"),
        (Path("no such file"), "cannot read 'no such file'"),
    ],
)
def test_errors_name_the_entry(source: Any, said: str) -> None:
    with pytest.raises(MappingError, match=said):
        load_mapping(source)


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(MappingError) as caught:
        load_mapping({"car": {"nmae": "x"}, "cat": 5, "labels": {"attributes": 3}})
    assert len(caught.value.problems) == 3
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
