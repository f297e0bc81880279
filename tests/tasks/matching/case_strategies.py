"""Random outputs of functions, and complete random cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cvat_sdk import models
from hypothesis import strategies as st

from tests.tasks.matching.case import AttributeSpec, Case, LabelSpec
from tests.tasks.matching.spec_strategies import function_labels, mappings, task_labels_for

SHAPES = ["rectangle", "polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton"]
FIXED_COUNTS = {"rectangle": 4, "ellipse": 4, "cuboid": 16}
MIN_COUNTS = {"polygon": 6, "polyline": 4, "points": 2}
coordinates = st.floats(-20, 100, width=32)
odd_numbers = st.sampled_from([float("nan"), float("inf"), -float("inf")])


@st.composite
def points_for(draw: st.DrawFn, kind: str) -> list[float]:
    if draw(st.integers(0, 15)) == 15:
        return draw(st.lists(coordinates | odd_numbers, max_size=17))
    if kind == "mask":
        width, height = draw(st.integers(1, 5)), draw(st.integers(1, 5))
        first = draw(st.integers(0, width * height))
        more = draw(st.sampled_from([0, 0, 0, 0, 1]))
        return [
            float(n) for n in (first, width * height - first + more, 2, 3, 1 + width, 2 + height)
        ]
    count = FIXED_COUNTS.get(kind) or MIN_COUNTS.get(kind, 0) + 2 * draw(st.integers(0, 2))
    return draw(st.lists(coordinates, min_size=count, max_size=count))


def _values(a: AttributeSpec) -> st.SearchStrategy[str]:
    good = {
        "checkbox": ["true", "false"],
        "number": a.values[:2],
        "text": ["", "anything", "x" * 4096],
    }.get(a.input_type, a.values)
    return st.sampled_from([*good * 6, "no such value"])


@st.composite
def attribute_values(draw: st.DrawFn, attributes: list[AttributeSpec]) -> list[tuple[int, str]]:
    chosen = [a for a in attributes if draw(st.booleans())]
    pairs = [(a.id, draw(_values(a))) for a in chosen]
    if draw(st.integers(0, 15)) == 15:
        pairs.append((99, "x"))
    if pairs and draw(st.integers(0, 15)) == 15:
        pairs.append(pairs[0])
    return pairs


@st.composite
def common_fields(draw: st.DrawFn, attributes: list[AttributeSpec]) -> dict[str, Any]:
    fields: dict[str, Any] = {"frame": draw(st.sampled_from([0] * 25 + [1]))}
    pairs = draw(attribute_values(attributes))
    if pairs or draw(st.booleans()):
        fields["attributes"] = pairs
    if draw(st.integers(0, 3)) == 3:
        fields["group"] = draw(st.sampled_from([None, 0, 4]))
    preset = draw(st.integers(0, 40))
    if preset == 40:
        fields["id"] = draw(st.sampled_from([None, 3]))
    elif preset == 39:
        fields["source"] = "manual"
    return fields


@st.composite
def shape_fields(draw: st.DrawFn, kind: str, attributes: list[AttributeSpec]) -> dict[str, Any]:
    fields = draw(common_fields(attributes))
    if draw(st.integers(0, 3)) == 3:
        fields |= {
            "rotation": draw(st.sampled_from([0.0, 12.5, 360.0])),
            "occluded": draw(st.booleans()),
            "outside": draw(st.booleans()),
            "z_order": draw(st.integers(-3, 3)),
            "score": draw(st.sampled_from([0.0, 0.25, 1.0])),
        }
    return fields | {"type": kind, "points": draw(points_for(kind))}


@st.composite
def annotations_for(draw: st.DrawFn, function: list[LabelSpec]) -> Callable[[], Any]:
    if draw(st.integers(0, 40)) == 40:
        odd = draw(st.sampled_from([None, 5, "rectangle", {}, []]))
        return lambda: odd
    label = draw(st.sampled_from(function))
    label_id = draw(st.sampled_from([label.id] * 20 + [77]))
    kind = label.type or "any"
    if kind == "any" or draw(st.integers(0, 11)) == 11:
        kind = draw(st.sampled_from([*SHAPES, "tag"]))
    if kind == "tag":
        fields = draw(common_fields(label.attributes))
        return lambda: models.LabeledImageRequest(label_id=label_id, **_models_in(fields))
    fields = draw(shape_fields(kind, label.attributes))
    if kind == "skeleton":
        del fields["points"]
        fields["elements"] = draw(elements_for(label))
    elif draw(st.integers(0, 20)) == 20:
        fields["elements"] = draw(elements_for(label))
    return lambda: models.LabeledShapeRequest(label_id=label_id, **_models_in(fields))


@st.composite
def elements_for(draw: st.DrawFn, label: LabelSpec) -> list[dict[str, Any]]:
    chosen = list(draw(st.permutations(label.sublabels))) if label.sublabels else []
    oddity = draw(st.integers(0, 20))
    if oddity == 20:
        chosen = chosen[1:]
    elif oddity == 19:
        chosen += chosen[:1]
    elif oddity == 18:
        chosen.append(LabelSpec(name="unknown", id=66))
    kinds = ["points"] * 30 + ["rectangle"]
    return [
        draw(shape_fields(draw(st.sampled_from(kinds)), s.attributes)) | {"label_id": s.id}
        for s in chosen
    ]


def _models_in(fields: dict[str, Any]) -> dict[str, Any]:
    made = dict(fields)
    if "attributes" in made:
        made["attributes"] = [
            models.AttributeValRequest(spec_id=i, value=v) for i, v in made["attributes"]
        ]
    if "elements" in made:
        made["elements"] = [
            models.SubLabeledShapeRequest(**_models_in(element)) for element in made["elements"]
        ]
    return made


@st.composite
def cases(draw: st.DrawFn, *, mapped: bool = True) -> Case:
    function = draw(function_labels())
    task = draw(task_labels_for(function))
    return Case(
        function=function,
        task=task,
        allow_unmatched_labels=draw(st.booleans()),
        conv_mask_to_poly=draw(st.integers(0, 3)) == 3,
        mapping=draw(mappings(function, task)) if mapped else None,
        output=draw(st.lists(annotations_for(function), min_size=1, max_size=4)),
    )
