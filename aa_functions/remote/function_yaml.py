"""The labels of a Nuclio function, from its `function.yaml` or given in the same form.

CVAT keeps them in the annotation `spec` of the function's metadata: a JSON list of labels with
`name`, `type`, `attributes` and, for a skeleton, `sublabels`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from attrs import field, frozen
from cvat_sdk.auto_annotation import (
    BadFunctionError,
    DetectionFunctionSpec,
    attribute_spec,
    keypoint_spec,
    label_spec,
    skeleton_label_spec,
)

from aa_functions.errors import NuclioError

_LABEL_TYPES = frozenset(
    {"cuboid", "ellipse", "mask", "points", "polygon", "polyline", "rectangle", "skeleton", "tag"}
)
_INPUT_TYPES = frozenset({"checkbox", "number", "radio", "select", "text"})


@frozen(kw_only=True)
class NamedLabel:
    """A label of the function: the ids that stand for the names in its answers."""

    id: int
    attributes: Mapping[str, int] = field(factory=dict)
    sublabels: Mapping[str, NamedLabel] = field(factory=dict)


@frozen(kw_only=True)
class FunctionLabels:
    """The spec of a function, and its labels by name. Ids are positions in the list."""

    spec: DetectionFunctionSpec
    by_name: Mapping[str, NamedLabel]
    title: str | None = None
    """The function's name in Nuclio, such as `onnx-wongkinyiu-yolov7`."""


def read_function_yaml(path: Path) -> FunctionLabels:
    """Read the labels from a `function.yaml`.

    Raises:
        NuclioError: if the file cannot be read, is of another kind, or has no usable spec.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise NuclioError(
            f"'{path}' cannot be read ({error.strerror}): 'function_yaml' is the path of the "
            "function.yaml that the function was deployed with."
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise NuclioError(
            f"'{path}' is not YAML ({_first_line(error)}): 'function_yaml' is the path of the "
            "function.yaml that the function was deployed with."
        ) from error
    metadata = _mapping(_mapping(content).get("metadata"))
    annotations = _mapping(metadata.get("annotations"))
    kind = annotations.get("type", "detector")
    if kind != "detector":
        raise NuclioError(
            f"'{path}' describes a function of type '{kind}', but only a 'detector' can annotate "
            "frames one by one."
        )
    if not annotations.get("spec"):
        raise NuclioError(
            f"'{path}' has no spec under metadata, annotations: add the JSON list of the "
            "function's labels there, or give it as the parameter 'spec'."
        )
    title = metadata.get("name")
    return read_spec(
        annotations["spec"],
        f"The spec in '{path}'",
        title=title if isinstance(title, str) and title else None,
    )


def read_spec(
    spec: str | Sequence[Mapping[str, Any]],
    subject: str = "The parameter 'spec'",
    *,
    title: str | None = None,
) -> FunctionLabels:
    """Return the labels of a spec.

    Args:
        spec: A list of labels as in a `function.yaml`, or such a list as JSON.
        subject: What the text of an error begins with.
        title: The function's name.

    Raises:
        NuclioError: if the spec cannot be used.

    >>> labels = read_spec('[{"name": "car", "type": "rectangle"}, {"name": "road"}]')
    >>> [(label.name, label.id, label.type) for label in labels.spec.labels]
    [('car', 0, 'rectangle'), ('road', 1, 'any')]
    """
    entries: Any = spec
    if isinstance(spec, str):
        try:
            entries = json.loads(spec)
        except ValueError as error:
            raise NuclioError(f"{subject} is not JSON ({error}).") from error
    if not isinstance(entries, list | tuple) or not entries:
        raise NuclioError(
            f'{subject} must be a list of labels, such as [{{"name": "car", "type": "rectangle"}}].'
        )
    labels, by_name = [], {}
    for number, (name, entry) in enumerate(_named(entries, "label", subject)):
        type_ = str(entry.get("type", "any"))
        attributes = _attributes(entry, name, subject)
        sublabels = []
        by_sublabel = {}
        if type_ == "skeleton":
            points = _named(entry.get("sublabels") or (), f"sublabel of '{name}'", subject)
            for point, (sub_name, sub_entry) in enumerate(points):
                own = _attributes(sub_entry, f"{name}.{sub_name}", subject)
                sublabels.append(keypoint_spec(sub_name, point, attributes=own))
                by_sublabel[sub_name] = NamedLabel(id=point, attributes=_ids(own))
            if not sublabels:
                raise NuclioError(f"{subject} has a skeleton without sublabels: '{name}'.")
            labels.append(skeleton_label_spec(name, number, sublabels, attributes=attributes))
        else:
            # CVAT takes a type that it does not know, such as "unknown", for any type.
            known = type_ if type_ in _LABEL_TYPES else "any"
            labels.append(label_spec(name, number, type=known, attributes=attributes))
        by_name[name] = NamedLabel(id=number, attributes=_ids(attributes), sublabels=by_sublabel)
    try:
        detection_spec = DetectionFunctionSpec(labels=labels)
    except BadFunctionError as error:
        raise NuclioError(f"{subject} cannot be used: {error}.") from error
    return FunctionLabels(spec=detection_spec, by_name=by_name, title=title)


def _attributes(entry: Mapping[str, Any], label: str, subject: str) -> list[Any]:
    attributes = []
    named = _named(entry.get("attributes") or (), f"attribute of '{label}'", subject)
    for number, (name, attribute) in enumerate(named):
        input_type = attribute.get("input_type")
        if input_type not in _INPUT_TYPES:
            raise NuclioError(
                f"{subject} has an attribute '{name}' of '{label}' with the input_type "
                f"{input_type!r}: it must be {', '.join(sorted(_INPUT_TYPES))}."
            )
        values = [str(value) for value in attribute.get("values") or ()]
        attributes.append(attribute_spec(name, number, str(input_type), values))
    return attributes


def _named(
    entries: Iterable[Any], what: str, subject: str
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the entries with their names. Raises NuclioError if one has none, or two are equal."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        name = _mapping(entry).get("name")
        if not isinstance(name, str) or not name:
            raise NuclioError(f"{subject} has a {what} without a name: {str(entry)[:100]}.")
        if name in found:
            raise NuclioError(f"{subject} has the {what} '{name}' twice.")
        found[name] = entry
    return found.items()


def _ids(attributes: Iterable[Any]) -> dict[str, int]:
    return {attribute.name: attribute.id for attribute in attributes}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
