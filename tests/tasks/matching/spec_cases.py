"""Random functions, tasks, mappings and outputs, and what the SDK's driver makes of them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import cvat_sdk.auto_annotation as cvataa
from attrs import define, field, frozen
from cvat_sdk import models
from cvat_sdk.auto_annotation.driver import (
    _AnnotationMapper,
    _AttributeNameMapping,
    _LabelNameMapping,
    _SpecNameMapping,
    _SublabelNameMapping,
)
from hypothesis import strategies as st

from cvat_flows.tasks.model.frames import Frame

NAMES = ["car", "dog", "cat", "bus"]
KEYPOINTS = ["head", "tail", "paw"]
ATTRIBUTES = ["kind", "age", "note"]
VALUES: dict[str, list[list[str]]] = {
    "select": [["a", "b"], ["b", "a"], ["a"], ["a", "b", "c"]],
    "radio": [["a", "b"], ["b", "a"], ["x"]],
    "number": [["0", "10", "2"], ["0", "10", "1"], ["-3", "3", "3"]],
    "checkbox": [[], ["true"]],
    "text": [[], ["a default"]],
}
SHAPES = ["rectangle", "polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton"]
LABEL_TYPES = ["any", "any", "any", "rectangle", "polygon", "mask", "tag", "skeleton", "ellipse"]
FIRST_TASK_ID = 1000
"""The function's ids are smaller, so that none can pass for one of the task's."""
FRAME = Frame(number=7, name="a.png", width=64, height=48, chunk=0, job_ids=(1,))
FIXED_COUNTS = {"rectangle": 4, "ellipse": 4, "cuboid": 16}
LEAST_COUNTS = {"polygon": 6, "polyline": 4, "points": 2}


@frozen(kw_only=True)
class Attr:
    name: str
    id: int
    input_type: str
    values: list[str]

    def model(self, kind: Any) -> Any:
        return kind(
            name=self.name,
            id=self.id,
            mutable=False,
            input_type=self.input_type,
            values=list(self.values),
        )


@frozen(kw_only=True)
class Lab:
    name: str
    id: int
    type: str | None = "any"
    attributes: list[Attr] = field(factory=list)
    sublabels: list[Lab] = field(factory=list)

    def model(self, label: Any, sublabel: Any, attribute: Any) -> Any:
        optional: dict[str, Any] = {} if self.type is None else {"type": self.type}
        if self.attributes or label is not models.PatchedLabelRequest:
            optional["attributes"] = [a.model(attribute) for a in self.attributes]
        if self.sublabels or label is models.Label:
            optional["sublabels"] = [s.model(sublabel, None, attribute) for s in self.sublabels]
        return label(name=self.name, id=self.id, **optional)


@define(kw_only=True)
class Case:
    function: list[Lab]
    task: list[Lab]
    allow_unmatched_labels: bool
    conv_mask_to_poly: bool
    mapping: dict[str, Any] | None
    """In the SDK's sense: what is not listed is dropped."""
    output: list[Callable[[], Any]]
    """Each makes one annotation anew: the SDK's driver changes what it is given."""

    def spec(self) -> cvataa.DetectionFunctionSpec:
        made = [
            label.model(models.PatchedLabelRequest, models.SublabelRequest, models.AttributeRequest)
            for label in self.function
        ]
        return cvataa.DetectionFunctionSpec(labels=made)

    def task_labels(self) -> list[models.Label]:
        return [label.model(models.Label, models.Sublabel, models.Attribute) for label in self.task]

    def sdk_mapper(self) -> Any:
        """Raises BadFunctionError if the SDK refuses the function."""
        names = _SpecNameMapping() if self.mapping is None else _sdk_mapping(self.mapping)
        return _AnnotationMapper(
            logging.getLogger("sdk"),
            self.spec().labels,
            self.task_labels(),
            allow_unmatched_labels=self.allow_unmatched_labels,
            conv_mask_to_poly=self.conv_mask_to_poly,
            spec_nm=names,
        )

    def our_mapping(self) -> dict[str, Any] | None:
        """The same mapping as a person would configure it, with the rest dropped."""
        return None if self.mapping is None else _closed(copy.deepcopy(self.mapping))


def _sdk_mapping(mapping: dict[str, Any]) -> _SpecNameMapping:
    def attributes(entry: dict[str, Any]) -> dict[str, _AttributeNameMapping] | None:
        if "attributes" not in entry:
            return None
        return {name: _AttributeNameMapping(to) for name, to in entry["attributes"].items()}

    def sublabels(entry: dict[str, Any]) -> dict[str, _SublabelNameMapping] | None:
        if "sublabels" not in entry:
            return None
        return {
            name: _SublabelNameMapping(to["name"], attributes=attributes(to))
            for name, to in entry["sublabels"].items()
        }

    return _SpecNameMapping(
        labels={
            name: _LabelNameMapping(to["name"], attributes=attributes(to), sublabels=sublabels(to))
            for name, to in mapping.items()
        }
    )


def _closed(entries: dict[str, Any]) -> dict[str, Any]:
    for entry in entries.values():
        for below in ("attributes", "sublabels"):
            if isinstance(entry, dict) and below in entry:
                _closed(entry[below])
    entries["*"] = None
    return entries


# -- labels ---------------------------------------------------------------------------------------


@st.composite
def attributes_of(draw: st.DrawFn, first_id: int) -> list[Attr]:
    names = draw(st.lists(st.sampled_from(ATTRIBUTES), max_size=2, unique=True))
    made = []
    for index, name in enumerate(names):
        input_type = draw(st.sampled_from(sorted(VALUES)))
        values = draw(st.sampled_from(VALUES[input_type]))
        made.append(Attr(name=name, id=first_id + index, input_type=input_type, values=values))
    return made


@st.composite
def function_labels(draw: st.DrawFn) -> list[Lab]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    ids = draw(st.permutations(range(1, len(names) + 1)))
    made = []
    for name, label_id in zip(names, ids, strict=True):
        type_ = draw(st.sampled_from([*LABEL_TYPES, None]))
        sublabels = []
        if type_ == "skeleton":
            points = draw(st.lists(st.sampled_from(KEYPOINTS), min_size=1, max_size=3, unique=True))
            sublabels = [
                Lab(name=p, id=i, type="points", attributes=draw(attributes_of(20)))
                for i, p in enumerate(points)
            ]
        attributes = draw(attributes_of(10))
        made.append(
            Lab(name=name, id=label_id, type=type_, attributes=attributes, sublabels=sublabels)
        )
    return made


@st.composite
def task_labels_for(draw: st.DrawFn, function: list[Lab]) -> list[Lab]:
    """The function's labels with other ids and, now and then, a difference."""
    ids = iter(range(FIRST_TASK_ID, FIRST_TASK_ID + 1000))

    def seldom() -> bool:
        return draw(st.integers(0, 11)) == 11

    def attribute(a: Attr) -> Attr:
        input_type = draw(st.sampled_from(sorted(VALUES))) if seldom() else a.input_type
        values = draw(st.permutations(a.values)) if a.input_type == "select" else a.values
        if input_type != a.input_type or seldom():
            values = draw(st.sampled_from(VALUES[input_type]))
        return Attr(name=a.name, id=next(ids), input_type=input_type, values=list(values))

    def label(f: Lab, type_: str) -> Lab:
        attributes = [attribute(a) for a in f.attributes if not seldom()]
        sublabels = [label(s, "points") for s in f.sublabels if not seldom()]
        if sublabels and seldom():
            sublabels.append(Lab(name="extra", id=next(ids), type="points"))
        if seldom():
            attributes.append(Attr(name="extra", id=next(ids), input_type="text", values=[""]))
        return Lab(
            name=f.name,
            id=next(ids),
            type=type_,
            attributes=attributes,
            sublabels=draw(st.permutations(sublabels)) if sublabels else [],
        )

    made = []
    for f in function:
        if seldom():
            continue
        type_ = "skeleton" if f.sublabels else f.type or "any"
        if type_ != "skeleton" and draw(st.booleans()):
            type_ = "any"
        if seldom():
            type_ = draw(st.sampled_from(LABEL_TYPES))
        made.append(label(f, type_))
    if draw(st.booleans()):
        made.append(Lab(name="spare", id=next(ids)))
    return draw(st.permutations(made)) if made else []


@st.composite
def mappings(draw: st.DrawFn, function: list[Lab], task: list[Lab]) -> dict[str, Any] | None:
    """A mapping from names that the function has to names that the task has."""
    if not task or not draw(st.booleans()):
        return None

    def some(names: list[str]) -> list[str]:
        return [name for name in names if draw(st.integers(0, 3)) < 3]

    def target(name: str, names: list[str]) -> str:
        return name if name in names and draw(st.integers(0, 3)) else draw(st.sampled_from(names))

    def entry(f: Lab, name: str, targets: list[Lab]) -> dict[str, Any]:
        to = next(label for label in reversed(targets) if label.name == name)
        made: dict[str, Any] = {"name": name}
        if to.attributes and draw(st.booleans()):
            names = [a.name for a in to.attributes]
            made["attributes"] = {n: target(n, names) for n in some([a.name for a in f.attributes])}
        if to.sublabels and draw(st.booleans()):
            names = [s.name for s in to.sublabels]
            made["sublabels"] = {
                s.name: entry(s, target(s.name, names), to.sublabels)
                for s in f.sublabels
                if draw(st.integers(0, 3))
            }
        return made

    names = [label.name for label in task]
    return {
        f.name: entry(f, target(f.name, names), task) for f in function if draw(st.integers(0, 5))
    }


# -- outputs --------------------------------------------------------------------------------------

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
    count = FIXED_COUNTS.get(kind) or LEAST_COUNTS.get(kind, 0) + 2 * draw(st.integers(0, 2))
    return draw(st.lists(coordinates, min_size=count, max_size=count))


def _values(a: Attr) -> st.SearchStrategy[str]:
    good = {
        "checkbox": ["true", "false"],
        "number": a.values[:2],
        "text": ["", "anything", "x" * 4096],
    }.get(a.input_type, a.values)
    return st.sampled_from([*good * 6, "no such value"])


@st.composite
def attribute_values(draw: st.DrawFn, attributes: list[Attr]) -> list[tuple[int, str]]:
    chosen = [a for a in attributes if draw(st.booleans())]
    pairs = [(a.id, draw(_values(a))) for a in chosen]
    if draw(st.integers(0, 15)) == 15:
        pairs.append((99, "x"))
    if pairs and draw(st.integers(0, 15)) == 15:
        pairs.append(pairs[0])
    return pairs


@st.composite
def common_fields(draw: st.DrawFn, attributes: list[Attr]) -> dict[str, Any]:
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
def shape_fields(draw: st.DrawFn, kind: str, attributes: list[Attr]) -> dict[str, Any]:
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
def annotations_for(draw: st.DrawFn, function: list[Lab]) -> Callable[[], Any]:
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
def elements_for(draw: st.DrawFn, label: Lab) -> list[dict[str, Any]]:
    chosen = list(draw(st.permutations(label.sublabels))) if label.sublabels else []
    oddity = draw(st.integers(0, 20))
    if oddity == 20:
        chosen = chosen[1:]
    elif oddity == 19:
        chosen += chosen[:1]
    elif oddity == 18:
        chosen.append(Lab(name="unknown", id=66))
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
