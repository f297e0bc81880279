"""Labels keep their names in digests, whatever happens to their ids, names and defaults."""

from __future__ import annotations

from typing import Any

from cvat_flows.tasks.cvat.digest import digest, possible_digests
from cvat_flows.tasks.cvat.label_names import LabelTable
from cvat_flows.tasks.model.labels import Attribute, Label


def colour(number: int = 10, default: str = "red", name: str = "colour") -> Attribute:
    return Attribute(id=number, name=name, input_type="text", default=default)


def label(number: int, name: str, *attributes: Attribute, **more: Any) -> Label:
    return Label(id=number, name=name, attributes=attributes, **more)


def names(table: LabelTable, *labels: Label) -> dict[int, str]:
    return {number: one.name for number, one in table.names(labels).by_id.items()}


def test_a_label_keeps_its_first_name() -> None:
    table = LabelTable()
    assert names(table, label(1, "car"), label(2, "bus")) == {1: "car", 2: "bus"}
    table = LabelTable(table.rows())
    assert names(table, label(1, "vehicle"), label(2, "bus")) == {1: "car", 2: "bus"}
    # A new label has the name that another one had at first.
    assert names(table, label(1, "vehicle"), label(3, "car")) == {1: "car", 3: "car (3)"}
    # In a project all ids are new.
    assert names(table, label(7, "bus"), label(8, "car")) == {7: "bus", 8: "car"}
    assert names(table, label(8, "auto")) == {8: "car"}


def test_keypoints_are_named_within_their_skeleton() -> None:
    table = LabelTable()
    poses = [
        label(n, name, sublabels=(label(n + 1, "head"),)) for n, name in ((1, "cat"), (5, "dog"))
    ]
    before = names(table, *poses)
    assert before == {1: "cat", 2: "cat\nhead", 5: "dog", 6: "dog\nhead"}
    renamed = label(1, "kitten", sublabels=(label(9, "head"),))
    assert names(table, renamed) == {1: "cat", 9: "cat\nhead"}


def test_attributes_keep_their_first_names_and_defaults() -> None:
    table = LabelTable()
    assert not table.names([label(1, "car", colour())]).edited
    edited = LabelTable(table.rows()).names([label(4, "car", colour(40, "blue"))])
    assert edited.edited
    one = edited.by_id[4].attributes[40]
    assert (one.name, one.first_default, one.default) == ("colour", "red", "blue")
    renamed = table.names([label(1, "car", colour(name="paint"), colour(11, "", "size"))])
    assert [a.name for a in renamed.by_id[1].attributes.values()] == ["colour", "size"]
    # The default of an attribute that comes later is the one with which it comes.
    assert not renamed.edited


def box(**attributes: str) -> dict[str, Any]:
    numbers = {"colour": 10, "size": 11}
    given = [{"spec_id": numbers[name], "value": value} for name, value in attributes.items()]
    return {"type": "rectangle", "label_id": 1, "frame": 0, "points": [1.0] * 4} | {
        "attributes": given
    }


def test_an_edited_default_leaves_all_digests_possible() -> None:
    table = LabelTable()
    before = table.names([label(1, "car", colour(), colour(11, "s", "size"))])
    after = table.names([label(1, "car", colour(10, "blue"), colour(11, "m", "size"))])
    sent_and_read = [
        ({}, {"colour": "blue", "size": "m"}),
        ({"colour": "red"}, {"colour": "red", "size": "m"}),
        ({"colour": "blue"}, {"colour": "blue", "size": "m"}),
        ({"colour": "blue", "size": "m"}, {"colour": "blue", "size": "m"}),
        ({"colour": "green", "size": "s"}, {"colour": "green", "size": "s"}),
    ]
    for sent, read in sent_and_read:
        assert digest(box(**sent), before) in possible_digests(box(**read), after)
        assert digest(box(**sent), before) == digest(box(**sent), after)
    changed = possible_digests(box(colour="black", size="m"), after)
    assert not {digest(box(**sent), before) for sent, _ in sent_and_read} & {*changed}
    assert len([*possible_digests(box(colour="green", size="l"), after)]) == 1
