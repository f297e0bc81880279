"""Copy a function's output into Detections without checking it; `check.validate` checks it.

The SDK's objects are mutable, may hold unchecked values, and may be returned for two frames. So
everything is copied into plain immutable values, and the objects are not changed. A value that is
not plain becomes an `Unreadable` with the name of its type, which fails in validation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from attrs import fields, frozen
from cvat_sdk import models

from cvat_flows.tasks.model.annotations import TAG, Detection

MAX_INTEGER = 2**63
"""CVAT cannot store integers from here on, and their text can be too long for JSON."""


@frozen
class Unreadable:
    """Stands for a value that is not a number, text, bool or None."""

    type_name: str

    def __repr__(self) -> str:
        return f"<{self.type_name}>"


def read_output(objects: Iterable[Any]) -> tuple[Detection, ...]:
    """Copy tags and shapes of the SDK's model types, in order.

    An object of another type becomes a `Detection` whose `type` is the name of that type. Raises
    whatever iterating over `objects` raises.
    """
    return tuple(_read(item) for item in objects)


def _read(item: Any) -> Detection:
    if isinstance(item, models.LabeledShapeRequest):
        return _read_shape(item, elements=_read_elements(item.get("elements")))
    if isinstance(item, models.LabeledImageRequest):
        return Detection(
            type=TAG,
            label_id=to_plain(item.get("label_id")),
            frame=to_plain(item.get("frame")),
            group=to_plain(item.get("group")),
            score=to_plain(item.get("score")),
            attributes=_read_attributes(item),
            preset=_preset(item),
        )
    return Detection(type=type(item).__name__, label_id=None)


def _read_shape(shape: Any, *, elements: tuple[Detection, ...] = ()) -> Detection:
    # For unset fields, `get` is ten times as fast as looking up a missing attribute.
    get = shape.get
    return Detection(
        type=_type_name(get("type")),
        label_id=to_plain(get("label_id")),
        frame=to_plain(get("frame")),
        points=_read_points(get("points", ())),
        rotation=to_plain(get("rotation", 0.0)),
        occluded=to_plain(get("occluded", False)),
        outside=to_plain(get("outside", False)),
        z_order=to_plain(get("z_order", 0)),
        group=to_plain(get("group")),
        score=to_plain(get("score")),
        attributes=_read_attributes(shape),
        elements=elements,
        preset=_preset(shape),
    )


def _read_elements(elements: Any) -> tuple[Detection, ...]:
    return tuple(
        _read_shape(element)
        if isinstance(element, models.SubLabeledShapeRequest | models.LabeledShapeRequest)
        else _read(element)
        for element in _items(elements, default=())
    )


def _read_attributes(owner: Any) -> tuple[tuple[Any, Any], ...]:
    attributes = owner.get("attributes")
    if not attributes and isinstance(attributes, list | None):
        return ()
    return tuple(
        (
            to_plain(getattr(attribute, "spec_id", attribute)),
            to_plain(getattr(attribute, "value", attribute)),
        )
        for attribute in _items(attributes)
    )


def _read_points(points: Any) -> tuple[Any, ...]:
    if type(points) is list and set(map(type, points)) == {float}:
        return tuple(points)
    return tuple(map(to_plain, _items(points)))


def _items(values: Any, default: Any = None) -> Iterable[Any]:
    """Return the items of a list. Any other value is returned as one item, to fail validation."""
    if values is None and default is not None:
        return ()
    return values if isinstance(values, (list, tuple, _numpy_type("ndarray"))) else (values,)


def _preset(item: Any) -> tuple[str, ...]:
    return tuple(name for name in ("id", "source") if name in item)


def _type_name(value: Any) -> str:
    value = getattr(value, "value", value)
    # "tag" is not a shape type; a shape must not pass as a tag.
    return value if isinstance(value, str) and value != TAG else type(value).__name__


def to_plain(value: Any) -> Any:
    """Return the value as None, bool, int, float or str. Converts numpy scalars."""
    kind = type(value)
    if kind is float or kind is str or kind is bool or value is None:
        return value
    if kind is not int and isinstance(value, generic := _numpy_type("generic")):
        item = value.item()
        return Unreadable(kind.__name__) if isinstance(item, generic) else to_plain(item)
    if isinstance(value, int):
        small = -MAX_INTEGER <= value < MAX_INTEGER
        return int(value) if small else Unreadable(f"int of {value.bit_length()} bits")
    if isinstance(value, float):
        return float(value)
    return "".join((value,)) if isinstance(value, str) else Unreadable(kind.__name__)


def _numpy_type(name: str) -> Any:
    """Return a type of numpy's, or no type if nothing has imported numpy: then no value has it."""
    return getattr(sys.modules.get("numpy"), name, ())


_DEFAULTS = {item.name: item.default for item in fields(Detection)}


def detections_to_json(detections: Iterable[Detection]) -> list[dict[str, Any]]:
    """Convert detections to values that the `json` module writes and reads without loss.

    NaN and infinities stay floats, which `json` writes in its own way. Fields with their default
    value are omitted.
    """
    return [
        {
            name: _to_json(value)
            for name, default in _DEFAULTS.items()
            if not _is_default(value := getattr(detection, name), default)
        }
        for detection in detections
    ]


def detections_from_json(content: list[dict[str, Any]]) -> tuple[Detection, ...]:
    """Convert the output of `detections_to_json` back.

    Raises TypeError, KeyError or ValueError if `content` has another form.
    """
    if not isinstance(content, list):
        raise TypeError(f"detections must be a list, not a {type(content).__name__}")
    return tuple(
        Detection(**{name: _from_json(name, value) for name, value in item.items()})
        for item in content
    )


def _is_default(value: Any, default: Any) -> bool:
    # 0, 0.0 and False are equal, but differ for validation.
    return type(value) is type(default) and value == default and str(value) == str(default)


def _to_json(value: Any) -> Any:
    if isinstance(value, Unreadable):
        return {"unreadable": value.type_name}
    if isinstance(value, tuple):
        if value and isinstance(value[0], Detection):
            return detections_to_json(value)
        return [_to_json(item) for item in value]
    return value


def _from_json(name: str, value: Any) -> Any:
    if name == "elements":
        return detections_from_json(value)
    if isinstance(value, list):
        return tuple(_from_json("", item) for item in value)
    if isinstance(value, dict):
        return Unreadable(value["unreadable"])
    return value
