"""Reading annotations one at a time gives the same as decoding the whole JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.cvat.annotation_json import ids_by_kind, is_complete, iter_annotations

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
objects = st.fixed_dictionaries(
    {
        "id": st.integers(1),
        "frame": st.integers(0),
        "label_id": st.integers(1),
        "type": st.text(min_size=1, max_size=4),
        "points": st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        "other": st.recursive(scalars, lambda inner: st.lists(inner, max_size=2), max_leaves=4),
    }
)
answers = st.fixed_dictionaries(
    {
        "version": st.just(0),
        "tags": st.lists(objects, max_size=3),
        "shapes": st.lists(objects, max_size=3),
        "tracks": st.lists(objects, max_size=2),
    }
)


@given(answers, st.sampled_from([None, 1]), st.booleans(), st.randoms())
def test_iterating_equals_decoding(
    answer: dict[str, Any], indent: int | None, ascii_only: bool, order: Any
) -> None:
    names = list(answer)
    order.shuffle(names)
    answer = {name: answer[name] for name in names}
    body = json.dumps(answer, indent=indent, ensure_ascii=ascii_only).encode()
    expected = [
        (kind, item) for kind in names if kind in ("tags", "shapes") for item in answer[kind]
    ]
    assert list(iter_annotations(body)) == expected
    assert is_complete(body)


@given(answers, st.data())
def test_a_truncated_answer_is_incomplete(answer: dict[str, Any], data: st.DataObject) -> None:
    body = json.dumps(answer).encode()
    assert not is_complete(body[: data.draw(st.integers(0, len(body) - 1))])


@given(answers, st.data())
def test_an_answer_that_is_not_utf8_is_incomplete(
    answer: dict[str, Any], data: st.DataObject
) -> None:
    body = json.dumps(answer).encode()
    at = data.draw(st.integers(0, len(body)))
    assert not is_complete(body[:at] + b"\xff" + body[at + 1 :])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>busy</html>",
        b'{"tags": []}',
        b'{"tags": [], "shapes": {}}',
        b'{"tags": [], "shapes": [1]}',
        b'{"tags": [], "shapes": [{}]}',
        b'{"tags": [], "shapes": [] "tracks": []}',
        b'{"tags": [], "shapes": []} and more',
        b'{"tags": [{"id": "1", "frame": 0, "label_id": 1}], "shapes": []}',
        b'{"tags": [{"id": 1, "frame": 0} {"id": 2, "frame": 0}], "shapes": []}',
        b'{"tags": [{"id": 1, "frame": 0, "label_id": 1}], "shapes": [{"id": 1, "frame": 0}]}',
    ],
)
def test_other_content_is_incomplete(body: bytes) -> None:
    assert not is_complete(body)


@given(answers, st.sampled_from([None, (",", ":")]), st.booleans())
def test_ids_are_found_without_decoding(
    content: dict[str, Any], separators: tuple[str, str] | None, in_other_order: bool
) -> None:
    for n, shape in enumerate(content["shapes"]):
        shape["elements"] = [{"id": 1000 + n, "spec_id": 5}]
        shape["attributes"] = [{"spec_id": 7, "value": '"id":9, "shapes": [] "tracks"'}]
    for tag in content["tags"]:
        tag["attributes"] = [{"spec_id": 7, "value": "shapes"}, {"spec_id": 8, "value": "tracks"}]
    for track in content["tracks"]:
        track["shapes"] = [{"id": 3000}]
    names = sorted(content) if in_other_order else list(content)
    ordered = {name: content[name] for name in names}
    found = ids_by_kind(json.dumps(ordered, separators=separators).encode())
    assert sorted(found["tags"]) == sorted(tag["id"] for tag in content["tags"])
    shapes = [shape["id"] for shape in content["shapes"]]
    assert sorted(found["shapes"]) == sorted([*shapes, *range(1000, 1000 + len(shapes))])
