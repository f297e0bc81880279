"""One list of labels for several functions: their labels are matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen
from cvat_sdk.auto_annotation import (
    DetectionFunctionSpec,
    attribute_spec,
    keypoint_spec,
    label_spec,
)

from aa_functions.errors import WrapperOptionError

ANY = "any"


@frozen(kw_only=True)
class Labels:
    """Labels that a function declares, with other names for some of them."""

    function: str
    """The function's title, for errors."""
    spec: DetectionFunctionSpec
    names: Mapping[str, str] = field(factory=dict)
    """New names by name."""


@frozen(kw_only=True)
class LabelIds:
    """The ids that replace those of a function's label."""

    label: int
    attributes: Mapping[int, int] = field(factory=dict)
    sublabels: Mapping[int, LabelIds] = field(factory=dict)


@define(kw_only=True)
class _Label:
    name: str
    id: int
    type: str
    function: str
    attributes: dict[str, Any] = field(factory=dict)
    sublabels: dict[str, _Label] = field(factory=dict)


@frozen(kw_only=True)
class CommonLabels:
    """The labels of several functions as those of one."""

    spec: DetectionFunctionSpec
    ids: Sequence[Mapping[int, LabelIds]]
    """For each function the new ids by its own ids of labels."""
    users: Mapping[int, Sequence[int]]
    """The positions of the functions that declare a label, by its new id."""


def common_labels(members: Sequence[Labels]) -> CommonLabels:
    """Match the labels of functions by name.

    A label has the type that all functions give it, else `any`, and all attributes that one of them
    declares.

    Raises:
        WrapperOptionError: if a name in `names` is not a label, two labels of a function get one
            name, a function has no label in common with another one, or an attribute or the
            keypoints of a label differ.
    """
    common: dict[str, _Label] = {}
    ids: list[dict[int, LabelIds]] = []
    users: dict[int, list[int]] = {}
    for position, member in enumerate(members):
        _check_names(member)
        own: dict[int, LabelIds] = {}
        for model in member.spec.labels:
            name = member.names.get(model.name, model.name)
            own[model.id] = _add(common, name, model, member.function)
            users.setdefault(own[model.id].label, []).append(position)
        ids.append(own)
    _check_shared(members, list(users.values()))
    spec = DetectionFunctionSpec(labels=[_to_spec(label) for label in common.values()])
    return CommonLabels(spec=spec, ids=ids, users=users)


def _check_names(member: Labels) -> None:
    known = [model.name for model in member.spec.labels]
    for name in member.names:
        if name not in known:
            raise WrapperOptionError(
                f"The function {member.function!r} has no label {name!r} to rename; it has: "
                f"{', '.join(known)}."
            )
    new = [member.names.get(name, name) for name in known]
    for name in new:
        if new.count(name) > 1:
            raise WrapperOptionError(
                f"Two labels of the function {member.function!r} are called {name!r}: give them "
                "different names."
            )


def _check_shared(members: Sequence[Labels], users: Sequence[Sequence[int]]) -> None:
    for position, member in enumerate(members):
        if not any(position in some and len(some) > 1 for some in users):
            own = [member.names.get(model.name, model.name) for model in member.spec.labels]
            raise WrapperOptionError(
                f"The function {member.function!r} shares no label with the others; it has: "
                f"{', '.join(own[:20])}. Map its labels to theirs with 'labels'."
            )


def _add(labels: dict[str, _Label], name: str, model: Any, function: str) -> LabelIds:
    """Add a label, or match it with the one of this name. Return its ids."""
    kind = str(getattr(model, "type", ANY))
    known = labels.get(name)
    if known is None:
        known = labels[name] = _Label(name=name, id=len(labels), type=kind, function=function)
        is_new = True
    else:
        is_new = False
        known.type = kind if kind == known.type else ANY
    sublabels = {
        one.id: _add(known.sublabels, one.name, one, function)
        for one in getattr(model, "sublabels", ())
    }
    if not is_new and len(sublabels) != len(known.sublabels):
        raise WrapperOptionError(
            f"The label {name!r} has other keypoints in {function!r} than in {known.function!r}: "
            "functions that share a skeleton must have the same keypoints."
        )
    return LabelIds(
        label=known.id,
        attributes={
            one.id: _add_attribute(known, one, function) for one in getattr(model, "attributes", ())
        },
        sublabels=sublabels,
    )


def _add_attribute(label: _Label, model: Any, function: str) -> int:
    known = label.attributes.get(model.name)
    if known is None:
        known = label.attributes[model.name] = attribute_spec(
            model.name, len(label.attributes), model.input_type.value, list(model.values)
        )
    if (known.input_type.value, known.values) != (model.input_type.value, list(model.values)):
        raise WrapperOptionError(
            f"The attribute {model.name!r} of the label {label.name!r} has another type or other "
            f"values in {function!r} than in {label.function!r}: rename the label in one of them."
        )
    return int(known.id)


def _to_spec(label: _Label) -> Any:
    options: dict[str, Any] = {"type": label.type}
    if label.attributes:
        options["attributes"] = list(label.attributes.values())
    if label.sublabels:
        options["sublabels"] = [
            keypoint_spec(
                one.name,
                one.id,
                **({"attributes": [*one.attributes.values()]} if one.attributes else {}),
            )
            for one in label.sublabels.values()
        ]
    return label_spec(label.name, label.id, **options)
