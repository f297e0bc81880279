"""`aa_functions.ensemble`: several functions as one, with labels matched by name."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cvat_sdk import models
from PIL import Image

from aa_functions import (
    BadFunctionError,
    DetectionFunctionSpec,
    FunctionReferenceError,
    keypoint,
    keypoint_spec,
    label_spec,
    load_function,
    polygon,
    rectangle,
    select_attribute_spec,
    skeleton,
    skeleton_label_spec,
    tag,
)
from aa_functions.ensemble import create

IMAGE = Image.new("RGB", (100, 100))
FILE = """
from types import SimpleNamespace
from aa_functions import DetectionFunctionSpec, label_spec, rectangle

def create(label="car", score=0.5, x=0, depends=None):
    return SimpleNamespace(
        spec=DetectionFunctionSpec(labels=[label_spec(label, 7)]),
        results_depend_on=depends,
        detect=lambda context, image: [rectangle(7, [x, 0, x + 10, 10], score=score)],
    )
"""


def member(labels: Any, *found: Any, **parts: Any) -> SimpleNamespace:
    labels = (
        [label_spec(name, n) for n, name in enumerate(labels.split())]
        if isinstance(labels, str)
        else labels
    )
    return SimpleNamespace(
        **{
            "spec": DetectionFunctionSpec(labels=labels),
            "detect": lambda context, image: list(found),
            **parts,
        }
    )


def rows(found: list[Any]) -> list[tuple[int, list[float], float]]:
    return [(one.label_id, one.points, one.score) for one in found]


def test_boxes_are_averaged_by_weight_and_score(make_context):
    one = member("car person", rectangle(0, [0, 0, 10, 10], score=0.9))
    other = member("person car", rectangle(1, [2, 0, 12, 10], score=0.3))
    ensemble = create([one, other])
    assert [(label.name, label.id) for label in ensemble.spec.labels] == [("car", 0), ("person", 1)]
    # (0.9 * 0 + 0.3 * 2) / 1.2 = 0.5; (0.9 + 0.3) / 2 = 0.6
    assert rows(ensemble.detect(make_context(), IMAGE)) == [(0, [0.5, 0, 10.5, 10], 0.6)]
    # (0.9 * 0 + 3 * 0.3 * 2) / 1.8 = 1; (0.9 + 3 * 0.3) / 4 = 0.45
    weighted = create([one, other], weights="1,3").detect(make_context(), IMAGE)
    assert rows(weighted) == [(0, [1, 0, 11, 10], 0.45)]
    assert (
        create([{"function": one}, {"function": other, "weight": 3}]).detect(make_context(), IMAGE)
        == weighted
    )


def test_what_one_function_alone_finds_has_a_lower_score(make_context):
    one = member(
        "car dog", rectangle(0, [0, 0, 9, 9], score=0.8), rectangle(1, [50, 50, 60, 60], score=0.6)
    )
    other = member("car cat")
    found = create([one, other]).detect(make_context(), IMAGE)
    # Nobody else knows dogs.
    assert rows(found) == [(1, [50, 50, 60, 60], 0.6), (0, [0, 0, 9, 9], 0.4)]
    assert rows(create([one, other]).detect(make_context(conf_threshold=0.5), IMAGE)) == [
        (1, [50, 50, 60, 60], 0.6)
    ]


def test_the_members_can_be_asked_for_more(make_context):
    asked = []

    def detect(context, image):
        asked.append((context.conf_threshold, context.frame_name))
        return []

    create([member("car", detect=detect)] * 2, member_conf=0.05).detect(
        make_context(conf_threshold=0.5, frame_name="a.jpg"), IMAGE
    )
    create([member("car", detect=detect)] * 2).detect(make_context(conf_threshold=0.5), IMAGE)
    assert asked == [(0.05, "a.jpg")] * 2 + [(0.5, "picture.jpg")] * 2


def test_two_boxes_of_one_function_do_not_raise_the_score_above_its_own(make_context):
    boxes = [rectangle(0, [0, 0, 10, 10], score=0.9), rectangle(0, [0, 0, 10, 9], score=0.9)]
    ensemble = create([member("car", *boxes), member("car")], weights=[2, 1])
    assert [one.score for one in ensemble.detect(make_context(), IMAGE)] == [0.6]


def test_labels_are_renamed(make_context):
    one = member("car", rectangle(0, [0, 0, 9, 9], score=0.8))
    other = member("bus automobile", rectangle(1, [0, 0, 9, 9], score=0.4))
    ensemble = create([one, {"function": other, "labels": {"automobile": "car"}}])
    assert [label.name for label in ensemble.spec.labels] == ["car", "bus"]
    assert rows(ensemble.detect(make_context(), IMAGE)) == [(0, [0, 0, 9, 9], 0.6)]


def test_of_other_shapes_the_most_confident_stays(make_context):
    square = polygon(0, [0, 0, 10, 0, 10, 10, 0, 10], score=0.5)
    near = polygon(0, [0, 0, 10, 0, 10, 9, 0, 9], score=0.9)
    turned = rectangle(0, [40, 40, 60, 50], rotation=30.0, score=0.4)
    other_turn = rectangle(0, [40, 40, 60, 50], rotation=28.0, score=0.8)
    found = create(
        [
            member("car", square, turned, tag(0, score=0.5)),
            member("car", near, other_turn, tag(0, score=0.1)),
        ]
    ).detect(make_context(), IMAGE)
    assert [(one.get("points"), one.get("rotation"), one.score) for one in found] == [
        (near.points, None, 0.7),
        (other_turn.points, 28.0, 0.6),
        (None, None, 0.3),
    ]


def test_attributes_and_keypoints_get_new_ids(make_context):
    def person(first: str, second: str, colour: int, **score: Any) -> SimpleNamespace:
        attribute = select_attribute_spec("colour", colour, ["red", "blue"])
        size = select_attribute_spec("size" if colour else "age", 9, ["1"])
        label = skeleton_label_spec(
            "person",
            5,
            [keypoint_spec(first, 0), keypoint_spec(second, 1)],
            attributes=[size, attribute],
        )
        value = models.AttributeValRequest(spec_id=colour, value="red")
        elements = [keypoint(0, [10, 10]), keypoint(1, [20, 20])]
        return member([label], skeleton(5, elements, attributes=[value], **score))

    ensemble = create([person("head", "foot", 0, score=0.1), person("foot", "head", 3, score=0.9)])
    (label,) = ensemble.spec.labels
    assert [(one.name, one.id) for one in label.attributes] == [
        ("age", 0),
        ("colour", 1),
        ("size", 2),
    ]
    assert [(one.name, one.id) for one in label.sublabels] == [("head", 0), ("foot", 1)]
    (found,) = ensemble.detect(make_context(), IMAGE)
    assert [(one.label_id, one.points) for one in found.elements] == [(1, [10, 10]), (0, [20, 20])]
    assert [(one.spec_id, one.value) for one in found.attributes] == [(1, "red")]


def test_types_that_differ_become_any():
    one = member([label_spec("car", 0, type="rectangle"), label_spec("dog", 1, type="mask")])
    other = member([label_spec("car", 4, type="polygon"), label_spec("dog", 2, type="mask")])
    assert [label.type for label in create([one, other]).spec.labels] == ["any", "mask"]


def test_batches_are_used_where_there_are_some(make_context):
    def detect_batch(contexts, images):
        return [[rectangle(0, [0, 0, 9, image.width], score=0.5)] for image in images]

    one, other = (
        member("car", detect_batch=detect_batch),
        member("car", rectangle(0, [0, 0, 9, 9], score=0.5)),
    )
    images = [Image.new("RGB", (width, 9)) for width in (9, 50)]
    found = create([one, other]).detect_batch([make_context()] * 2, images)
    assert [len(some) for some in found] == [1, 2]
    assert create([other, other]).detect_batch is None


def test_identity_follows_the_members(tmp_path: Path):
    (tmp_path / "cars.py").write_text(FILE)
    cars = str(tmp_path / "cars.py")

    def load(*functions: Any, **options: Any) -> Any:
        return load_function("aa_functions.ensemble", {"functions": list(functions), **options})

    plain = load(cars, {"function": cars, "parameters": {"x": 1}})
    assert plain.title == "cars+cars"
    assert plain.name.startswith("aa_functions.ensemble:cars.py@")
    others = [
        load(cars, cars),
        load({"function": cars, "parameters": {"x": 1}}, cars),
        load(cars, {"function": cars, "parameters": {"x": 1}}, weights=[1, 2]),
        load(cars, {"function": cars, "parameters": {"x": 1}}, threshold=0.4),
        load(cars, {"function": cars, "parameters": {"x": 1}}, member_conf=0.1),
    ]
    assert len({one.fingerprint for one in [plain, *others]}) == 6
    assert load(cars, cars, weights=[1, 1]).fingerprint == others[0].fingerprint
    text = load_function("aa_functions.ensemble", {"functions": f"{cars}, {cars}"})
    as_json = load_function("aa_functions.ensemble", {"functions": json.dumps([cars, cars])})
    assert text.fingerprint == as_json.fingerprint == others[0].fingerprint
    of_image = {"function": cars, "parameters": {"depends": "image"}}
    assert load(of_image, of_image).image_only
    assert not load(of_image, cars).image_only
    needy = member("car", needs_annotations=True)
    assert load(needy, cars).needs_annotations


POSE = skeleton_label_spec("person", 0, [keypoint_spec("head", 0)])
OTHER_POSE = skeleton_label_spec("person", 0, [keypoint_spec("nose", 0)])
RED = label_spec("car", 0, attributes=[select_attribute_spec("colour", 0, ["red"])])
BLUE = label_spec("car", 0, attributes=[select_attribute_spec("colour", 0, ["blue"])])


@pytest.mark.parametrize(
    ("functions", "options", "message"),
    [
        (
            [member("car"), member("dog cat")],
            {},
            "shares no label with the others; it has: car. Map its labels to theirs",
        ),
        (
            [member("car"), member("car"), member("dog")],
            {},
            "it has: dog. Map its labels to theirs",
        ),
        ([member("car")], {}, "The option functions names 1, but an ensemble needs at least 2"),
        ("", {}, "The option functions names 0"),
        ("[", {}, "The option functions is not JSON"),
        ("no.such,no.other", {}, "There is no module 'no.such'"),
        ([{"name": "cars.py"}], {}, "functions[0] has the field 'name'; it takes function, param"),
        ([{"weight": 2}], {}, "The option function is empty"),
        ([{"function": member("car"), "labels": ["car"]}], {}, "must be a mapping of names"),
        (
            [{"function": member("car"), "weight": 0}],
            {},
            "A weight is 0, but must be a number above",
        ),
        ([member("car")] * 2, {"weights": "1"}, "has 1 numbers for 2 functions: give one for each"),
        ([member("car")] * 2, {"weights": "1,x"}, "A weight is 'x', but must be a number above 0"),
        (
            [member("car")] * 2,
            {"threshold": 1.0},
            "threshold is 1.0, but must be above 0 and below 1",
        ),
        ([member("car")] * 2, {"member_conf": 2}, "member_conf is 2, but must be from 0 to 1"),
        (
            [member("car"), {"function": member("car"), "labels": {"cat": "car"}}],
            {},
            "has no label 'cat' to rename; it has: car",
        ),
        (
            [member("car"), {"function": member("car bus"), "labels": {"bus": "car"}}],
            {},
            "are called 'car': give them different names",
        ),
        ([member([POSE]), member([OTHER_POSE])], {}, "has other keypoints in"),
        (
            [member([RED]), member([BLUE])],
            {},
            "The attribute 'colour' of the label 'car' has another type",
        ),
    ],
)
def test_wrong_options_are_one_sentence(functions, options, message):
    with pytest.raises(FunctionReferenceError) as caught:
        load_function("aa_functions.ensemble", {"functions": functions, **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_id_that_a_member_has_not_declared(make_context):
    broken = member("car", rectangle(3, [0, 0, 9, 9]))
    with pytest.raises(BadFunctionError, match="returned the label id 3, which its spec lacks"):
        create([broken, member("car")]).detect(make_context(), IMAGE)
