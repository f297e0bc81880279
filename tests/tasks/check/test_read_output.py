"""The output of a function is copied exactly."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from math import isnan
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import pytest
from attrs import fields
from cvat_sdk import models
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.check.read_output import (
    Unreadable,
    detections_from_json,
    detections_to_json,
    read_output,
)
from cvat_flows.tasks.model.annotations import Detection

NAMES = [item.name for item in fields(Detection)]


def forced(model: Any, **chosen: Any) -> Any:
    """A model with values that it would not take: they can get there, once it is made."""
    vars(model)["_data_store"].update(chosen)
    return model


def unchecked(**chosen: Any) -> Any:
    return forced(cvataa.rectangle(1, []), **chosen)


def test_every_field_is_read() -> None:
    shape = cvataa.shape(
        5,
        type="skeleton",
        rotation=10,
        occluded=True,
        outside=True,
        z_order=-2,
        group=3,
        score=0.5,
        attributes=[models.AttributeValRequest(spec_id=7, value="x")],
        elements=[cvataa.keypoint(8, [1, 2], occluded=True)],
    )
    tag = cvataa.tag(6, group=4, score=0.25, id=9, source="auto")
    assert read_output([shape, tag]) == (
        Detection(
            type="skeleton",
            label_id=5,
            rotation=10.0,
            occluded=True,
            outside=True,
            z_order=-2,
            group=3,
            score=0.5,
            attributes=((7, "x"),),
            elements=(Detection(type="points", label_id=8, points=(1.0, 2.0), occluded=True),),
        ),
        Detection(type="tag", label_id=6, group=4, score=0.25, preset=("id", "source")),
    )


def test_an_id_of_none_counts_as_set() -> None:
    assert read_output([cvataa.rectangle(1, [1, 2, 3, 4], id=None)])[0].preset == ("id",)


@pytest.mark.parametrize("odd", [None, 5, "rectangle", {"type": "rectangle"}, [1], object()])
def test_other_objects_keep_the_name_of_their_type(odd: Any) -> None:
    (detection,) = read_output([odd])
    assert (detection.type, detection.label_id) == (type(odd).__name__, None)


def test_other_sdk_models_keep_the_name_of_their_type() -> None:
    response = models.LabeledShape(type="rectangle", label_id=1, frame=0, points=[1, 2, 3, 4])
    assert read_output([response])[0].type == "LabeledShape"
    element = read_output([cvataa.keypoint(1, [1, 2])])[0]
    assert element.type == "SubLabeledShapeRequest"


def test_numpy_numbers_become_plain() -> None:
    shape = unchecked(
        label_id=np.int64(4), points=np.array([1, 2, 3, 4], dtype=np.float32), score=np.float32(0.5)
    )
    (detection,) = read_output([shape])
    assert detection.points == (1.0, 2.0, 3.0, 4.0)
    kinds = {type(n) for n in (*detection.points, detection.score, detection.label_id)}
    assert kinds == {float, int}
    assert json.dumps(detections_to_json([detection]))


class Colour(enum.IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (Colour.RED, 3),
        (True, True),
        (np.True_, True),
        (1 << 70, Unreadable("int of 71 bits")),
        ([1], Unreadable("list")),
        (np.array([1, 2]), Unreadable("ndarray")),
        (np.complex64(1), Unreadable("complex")),
        (3 + 1j, Unreadable("complex")),
        (object, Unreadable("type")),
    ],
)
def test_values_that_are_not_plain_become_unreadable(value: Any, read: Any) -> None:
    (detection,) = read_output([unchecked(label_id=value)])
    assert (detection.label_id, type(detection.label_id)) == (read, type(read))


@pytest.mark.parametrize("points", [None, 5, "1234", {1.0}, [[1.0, 2.0]], [None]])
def test_points_that_are_not_a_list_of_numbers(points: Any) -> None:
    (detection,) = read_output([unchecked(points=points)])
    assert detection.points
    assert not any(isinstance(p, float | int) for p in detection.points) or points == 5


@pytest.mark.parametrize("attributes", [None, 5, [5], [None], [{"spec_id": 1, "value": "x"}]])
def test_attributes_that_are_not_a_list_of_attributes(attributes: Any) -> None:
    (detection,) = read_output([unchecked(attributes=attributes)])
    assert all(spec_id != 1 for spec_id, _ in detection.attributes)
    assert bool(detection.attributes) == (attributes is not None)


def test_an_object_that_is_returned_twice_and_changed() -> None:
    shared = cvataa.rectangle(1, [1, 2, 3, 4])
    first = read_output([shared])
    shared.points[0] = 99.0
    shared.label_id = 2
    shared.source = "auto"
    second = read_output([shared])
    assert first == (Detection(type="rectangle", label_id=1, points=(1.0, 2.0, 3.0, 4.0)),)
    assert second[0].points[0] == 99.0
    assert second[0].preset == ("source",)


def test_reading_does_not_change_the_objects() -> None:
    shape = cvataa.skeleton(1, [cvataa.keypoint(2, [1, 2])])
    before = str(shape)
    read_output([shape, shape])
    assert str(shape) == before


def test_an_error_of_a_generator_is_raised() -> None:
    def shapes() -> Iterator[Any]:
        yield cvataa.rectangle(1, [1, 2, 3, 4])
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        read_output(shapes())


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=5)
    | st.builds(object)
    | st.builds(lambda value: np.float32(value), st.floats(width=32))
)


@st.composite
def odd_shapes(draw: st.DrawFn) -> Any:
    names = ["label_id", "frame", "rotation", "occluded", "z_order", "group", "score", "id"]
    chosen = draw(st.dictionaries(st.sampled_from(names), scalars))
    chosen["points"] = draw(st.lists(scalars, max_size=5))
    if draw(st.booleans()):
        chosen["attributes"] = [
            forced(models.AttributeValRequest(spec_id=0, value=""), spec_id=i, value=v)
            for i, v in draw(st.lists(st.tuples(scalars, scalars), max_size=2))
        ]
    if draw(st.booleans()):
        chosen["elements"] = draw(st.lists(st.builds(lambda: cvataa.keypoint(1, [1, 2])) | scalars))
    return unchecked(**chosen)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types, and NaN where NaN was."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Detection) and isinstance(other, Detection):
        return all(same(getattr(one, n), getattr(other, n)) for n in NAMES)
    if isinstance(one, float) and isnan(one):
        return isinstance(other, float) and isnan(other)
    return type(one) is type(other) and str(one) == str(other) and one == other


@given(st.lists(odd_shapes() | scalars, max_size=3))
def test_detections_survive_json_exactly(objects: list[Any]) -> None:
    detections = read_output(objects)
    text = json.dumps(detections_to_json(detections))
    assert same(detections_from_json(json.loads(text)), detections)


@pytest.mark.parametrize("content", [None, {}, "text", [1], [{}], [{"type": "a"}], [{"x": 1}]])
def test_json_of_another_form_is_rejected(content: Any) -> None:
    with pytest.raises((TypeError, KeyError, ValueError, AttributeError)):
        detections_from_json(content)
