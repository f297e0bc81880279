"""Compare attributes of the function with those of the task, and check attribute values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from cvat_sdk import models
from cvat_sdk.attributes import attribute_value_validator

from cvat_flows.tasks.matching.mapping import SAME_NAME, WILDCARD, AttributeMapping
from cvat_flows.tasks.matching.result import Status
from cvat_flows.tasks.model.labels import Attribute

CHOICES = ("select", "radio")


@lru_cache(maxsize=4096)
def value_validator(input_type: str, values: tuple[str, ...]) -> Callable[[Any], bool]:
    """Return the SDK's validator for an attribute's values (`cvat_sdk.attributes`).

    Raises ValueError if `values` are not valid for `input_type`.
    """
    request = models.AttributeRequest(
        name="-", mutable=False, input_type=input_type, values=list(values)
    )
    validator: Callable[[Any], bool] = attribute_value_validator(request)
    return validator


def is_valid_value(attribute: Attribute, value: str) -> bool:
    """Return whether the attribute can have `value`."""
    try:
        return value_validator(attribute.input_type, attribute.values)(value)
    except ValueError:
        return False


def compare_attributes(
    ours: Attribute, theirs: Attribute, entry: AttributeMapping
) -> tuple[Status, str | None]:
    """Compare an attribute of the function (`ours`) with one of the task (`theirs`).

    Their input types must be equal. Their values must be equal, too, unless the type is text or
    checkbox (driver.py, `_build_attribute_id_mapping`). If the mapping changes values, the new
    values must be valid in the task.

    Returns:
        A status, and what is wrong, if anything.
    """
    if theirs.input_type != ours.input_type:
        return "different type", (
            f"has input type {ours.input_type} in the function, but {theirs.input_type} in the task"
        )
    if ours.input_type in CHOICES:
        equal = sorted(theirs.values) == sorted(ours.values)
    else:
        equal = ours.input_type in ("text", "checkbox") or theirs.values == ours.values
    if entry.values:
        for value, target in _mapped_values(ours, entry, equal):
            if not is_valid_value(theirs, target):
                return "different values", (
                    f"has value {value!r} in the function, which becomes {target!r},"
                    f" but has values {list(theirs.values)!r} in the task"
                )
        maps_all = entry.values.get(WILDCARD, SAME_NAME) != SAME_NAME
        equal = equal or ours.input_type in CHOICES or maps_all
    if not equal:
        return "different values", (
            f"has values {list(ours.values)!r} in the function,"
            f" but {list(theirs.values)!r} in the task"
        )
    return "matched", None


def _mapped_values(
    ours: Attribute, entry: AttributeMapping, equal: bool
) -> Iterable[tuple[str, str]]:
    """Yield the values whose target must be valid in the task, each with its target."""
    listed = [value for value in entry.values if value != WILDCARD]
    for value in ours.values if ours.input_type in CHOICES and not equal else listed:
        target = entry.map_value(value)
        if target is not None:
            yield value, target
    fallback = entry.values.get(WILDCARD, SAME_NAME)
    if fallback is not None and fallback != SAME_NAME:
        yield WILDCARD, fallback
