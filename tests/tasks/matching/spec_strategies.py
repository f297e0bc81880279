"""Random labels of functions and tasks, and random mappings."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.tasks.matching.case import FIRST_TASK_ID, AttributeSpec, LabelSpec

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
LABEL_TYPES = ["any", "any", "any", "rectangle", "polygon", "mask", "tag", "skeleton", "ellipse"]


@st.composite
def attributes_of(draw: st.DrawFn, first_id: int) -> list[AttributeSpec]:
    names = draw(st.lists(st.sampled_from(ATTRIBUTES), max_size=2, unique=True))
    made = []
    for index, name in enumerate(names):
        input_type = draw(st.sampled_from(sorted(VALUES)))
        values = draw(st.sampled_from(VALUES[input_type]))
        made.append(
            AttributeSpec(name=name, id=first_id + index, input_type=input_type, values=values)
        )
    return made


@st.composite
def function_labels(draw: st.DrawFn) -> list[LabelSpec]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    ids = draw(st.permutations(range(1, len(names) + 1)))
    made = []
    for name, label_id in zip(names, ids, strict=True):
        type_ = draw(st.sampled_from([*LABEL_TYPES, None]))
        sublabels = []
        if type_ == "skeleton":
            points = draw(st.lists(st.sampled_from(KEYPOINTS), min_size=1, max_size=3, unique=True))
            sublabels = [
                LabelSpec(name=p, id=i, type="points", attributes=draw(attributes_of(20)))
                for i, p in enumerate(points)
            ]
        attributes = draw(attributes_of(10))
        made.append(
            LabelSpec(
                name=name, id=label_id, type=type_, attributes=attributes, sublabels=sublabels
            )
        )
    return made


@st.composite
def task_labels_for(draw: st.DrawFn, function: list[LabelSpec]) -> list[LabelSpec]:
    """Draw the function's labels with other ids and, occasionally, a difference."""
    ids = iter(range(FIRST_TASK_ID, FIRST_TASK_ID + 1000))

    def seldom() -> bool:
        return draw(st.integers(0, 11)) == 11

    def attribute(a: AttributeSpec) -> AttributeSpec:
        input_type = draw(st.sampled_from(sorted(VALUES))) if seldom() else a.input_type
        values = draw(st.permutations(a.values)) if a.input_type == "select" else a.values
        if input_type != a.input_type or seldom():
            values = draw(st.sampled_from(VALUES[input_type]))
        return AttributeSpec(name=a.name, id=next(ids), input_type=input_type, values=list(values))

    def label(f: LabelSpec, type_: str) -> LabelSpec:
        attributes = [attribute(a) for a in f.attributes if not seldom()]
        sublabels = [label(s, "points") for s in f.sublabels if not seldom()]
        if sublabels and seldom():
            sublabels.append(LabelSpec(name="extra", id=next(ids), type="points"))
        if seldom():
            attributes.append(
                AttributeSpec(name="extra", id=next(ids), input_type="text", values=[""])
            )
        return LabelSpec(
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
        made.append(LabelSpec(name="spare", id=next(ids)))
    return draw(st.permutations(made)) if made else []


@st.composite
def mappings(
    draw: st.DrawFn, function: list[LabelSpec], task: list[LabelSpec]
) -> dict[str, Any] | None:
    """Draw a mapping from names of the function to names of the task."""
    if not task or not draw(st.booleans()):
        return None

    def some(names: list[str]) -> list[str]:
        return [name for name in names if draw(st.integers(0, 3)) < 3]

    def target(name: str, names: list[str]) -> str:
        return name if name in names and draw(st.integers(0, 3)) else draw(st.sampled_from(names))

    def entry(f: LabelSpec, name: str, targets: list[LabelSpec]) -> dict[str, Any]:
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
