"""An annotation has the same digest when sent and when read back; every edit changes it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.cvat.annotation_json import annotation_to_json
from cvat_flows.tasks.cvat.digest import digest
from cvat_flows.tasks.cvat.label_names import AttributeName, LabelName, LabelNames
from cvat_flows.tasks.model.annotations import Annotation

DEFAULTS = {1: {10: "red", 11: "no"}, 2: {20: ""}, 5: {}, 6: {60: "x"}, 7: {}}


def names_of(defaults: Mapping[int, Mapping[int, str]]) -> LabelNames:
    """Labels with these attributes and defaults, as they were when they were first seen."""
    return LabelNames(
        by_id={
            label: LabelName(
                name=f"label {label}",
                attributes={
                    number: AttributeName(
                        name=f"attribute {number}", first_default=value, default=value
                    )
                    for number, value in attributes.items()
                },
            )
            for label, attributes in defaults.items()
        }
    )


NAMES = names_of(DEFAULTS)


def digest_of(annotation: Annotation, names: LabelNames) -> str:
    return digest(annotation_to_json(annotation), names)


coordinates = st.floats(-5000, 5000, allow_nan=False).map(lambda v: round(v, 4))
attributes = st.lists(
    st.tuples(st.sampled_from([10, 11, 99]), st.sampled_from(["red", "no", "blue", "yes", ""])),
    unique_by=lambda pair: pair[0],
).map(tuple)


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    kind = draw(st.sampled_from(["tag", "rectangle", "polygon", "mask", "skeleton"]))
    common: dict[str, Any] = {
        "label_id": draw(st.sampled_from([1, 2])),
        "frame": draw(st.integers(0, 9)),
        "group": draw(st.sampled_from([None, 0, 3])),
        "attributes": draw(attributes),
    }
    if kind == "tag":
        return Annotation(type=kind, **common)
    common |= {
        "rotation": draw(st.sampled_from([0, 0.0, 12.5, 360])),
        "occluded": draw(st.booleans()),
        "outside": draw(st.booleans()),
        "z_order": draw(st.integers(-3, 3)),
    }
    if kind == "skeleton":
        elements = tuple(
            Annotation(
                type="points",
                label_id=label,
                frame=common["frame"],
                points=(draw(coordinates), draw(coordinates)),
                outside=draw(st.booleans()),
            )
            for label in (6, 7)
        )
        return Annotation(type=kind, elements=elements, **common)
    size = {"rectangle": 4, "polygon": 6, "mask": 7}[kind]
    points = tuple(
        draw(st.integers(0, 99)) if kind == "mask" else draw(coordinates) for _ in range(size)
    )
    return Annotation(type=kind, points=points, **common)


def as_cvat_returns(body: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """What GET gives for a created object."""
    stored = copy.deepcopy(body)
    given = {a["spec_id"]: a["value"] for a in stored["attributes"]}
    filled = {**DEFAULTS.get(stored["label_id"], {}), **given}
    stored |= {"id": number, "attributes": [{"spec_id": i, "value": v} for i, v in filled.items()]}
    if "type" in stored:
        stored["points"] = [float(v) for v in stored["points"]]
        stored["rotation"] = float(stored["rotation"])
        elements = [as_cvat_returns(e, number + n) for n, e in enumerate(body.get("elements", []))]
        stored["elements"] = elements[::-1]
        if elements:
            stored["points"] = []
            for element in elements:
                del element["elements"]
    return stored


@given(annotations())
def test_sent_and_read_back_annotations_are_equal(annotation: Annotation) -> None:
    sent = digest_of(annotation, NAMES)
    assert digest(as_cvat_returns(annotation_to_json(annotation)), NAMES) == sent
    assert digest(annotation_to_json(annotation), NAMES) == sent  # the echo of a create
    scored = evolve(annotation, score=0.5)
    assert annotation_to_json(scored) == {**annotation_to_json(annotation), "score": 0.5}
    assert digest_of(scored, NAMES) == sent


@given(annotations(), annotations())
def test_different_annotations_differ(one: Annotation, other: Annotation) -> None:
    def facts(annotation: Annotation) -> Any:
        usual = DEFAULTS[annotation.label_id]
        return evolve(
            annotation,
            group=annotation.group or 0,
            attributes=tuple(sorted(a for a in annotation.attributes if usual.get(a[0]) != a[1])),
        )

    same = digest_of(one, NAMES) == digest_of(other, NAMES)
    assert same == (facts(one) == facts(other)) or (
        # closer than a hundredth of a pixel
        same
        and evolve(facts(one), points=(), elements=())
        == evolve(facts(other), points=(), elements=())
    )


BOX = Annotation(type="rectangle", label_id=1, frame=3, points=(1.0, 2.0, 30.5, 40.25))
POSE = Annotation(
    type="skeleton",
    label_id=5,
    frame=3,
    elements=(
        Annotation(type="points", label_id=6, frame=3, points=(1.0, 1.0)),
        Annotation(type="points", label_id=7, frame=3, points=(2.0, 2.0)),
    ),
)


@pytest.mark.parametrize(
    "edit",
    [
        {"points": [1.02, 2.0, 30.5, 40.25]},
        {"label_id": 2},
        {"frame": 4},
        {"attributes": [{"spec_id": 10, "value": "blue"}]},
        {"rotation": 0.5},
        {"occluded": True},
        {"outside": True},
        {"z_order": 1},
        {"group": 1},
        {"source": "semi-auto"},
        {"source": "manual"},
        {"type": "ellipse"},
    ],
)
def test_an_edit_changes_the_digest(edit: dict[str, Any]) -> None:
    stored = as_cvat_returns(annotation_to_json(BOX))
    assert digest({**stored, **edit}, NAMES) != digest_of(BOX, NAMES)


@pytest.mark.parametrize(
    "edit",
    [
        {"points": [1.0, 1.5]},
        {"outside": True},
        {"occluded": True},
        {"attributes": [{"spec_id": 60, "value": "y"}]},
    ],
)
def test_an_edited_keypoint_changes_the_digest(edit: dict[str, Any]) -> None:
    stored = as_cvat_returns(annotation_to_json(POSE))
    stored["elements"][0].update(edit)
    assert digest(stored, NAMES) != digest_of(POSE, NAMES)


def test_a_new_attribute_of_the_label_keeps_the_digest() -> None:
    later = names_of({**DEFAULTS, 1: {**DEFAULTS[1], 12: "maybe"}})
    stored = as_cvat_returns(annotation_to_json(BOX))
    stored["attributes"].append({"spec_id": 12, "value": "maybe"})
    assert digest(stored, later) == digest_of(BOX, NAMES) == digest_of(BOX, later)


@given(st.integers(-4000, 4000), st.sampled_from([2, 4, 8, 16, 5, 10, 20, 100]))
def test_float_noise_does_not_change_common_values(number: int, parts: int) -> None:
    value = number / parts
    digests = {
        digest_of(evolve(BOX, points=(value + noise, 0.0, 1.0, 1.0)), NAMES)
        for noise in (0.0, 1e-6, -1e-6)
    }
    assert len(digests) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "x", [1.0]])
def test_what_is_no_number_has_a_digest_of_its_own(bad: Any) -> None:
    """An object in a job must not stop an upload, whatever its points are."""
    box = {**annotation_to_json(BOX), "points": [bad, 0.0, 1.0, 1.0]}
    assert digest(box, NAMES) == digest({**box, "id": 7}, NAMES)
    assert digest(box, NAMES) != digest(annotation_to_json(BOX), NAMES)
    element = {"label_id": 6, "type": "points"}
    elements = [{**element, "points": points} for points in ([1.0, 2.0], [bad, 2.0])]
    pose = {**annotation_to_json(BOX), "elements": elements}
    assert digest(pose, NAMES) == digest({**pose, "elements": elements[::-1]}, NAMES)
