"""Attributes of the function and of the task: whether they agree, and whether a value suits one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from cvat_sdk import models
from cvat_sdk.attributes import attribute_value_validator

from cvat_flows.tasks.matching.mapping import REST, SAME, AttributeMapping
from cvat_flows.tasks.matching.result import Status
from cvat_flows.tasks.model.labels import Attribute

CHOICES = ("select", "radio")


@lru_cache(maxsize=4096)
def value_validator(input_type: str, values: tuple[str, ...]) -> Callable[[Any], bool]:
    """The SDK's check of an attribute's value (`cvat_sdk.attributes`).

    Raises ValueError if `values` do not suit `input_type`.
    """
    request = models.AttributeRequest(
        name="-", mutable=False, input_type=input_type, values=list(values)
    )
    validator: Callable[[Any], bool] = attribute_value_validator(request)
    return validator


def suits(attribute: Attribute, value: str) -> bool:
    """Whether `value` is one that the attribute can have."""
    try:
        return value_validator(attribute.input_type, attribute.values)(value)
    except ValueError:
        return False


def compare_attributes(
    mine: Attribute, theirs: Attribute, entry: AttributeMapping
) -> tuple[Status, str | None]:
    """Input types have to be equal, and so do values, but for text and checkbox (driver.py,
    `_build_attribute_id_mapping`). Where the mapping changes values, what they become has to be
    a value that the task has."""
    if theirs.input_type != mine.input_type:
        return "other type", (
            f"has input type {mine.input_type} in the function,"
            f" but {theirs.input_type} in the dataset"
        )
    if mine.input_type in CHOICES:
        same = sorted(theirs.values) == sorted(mine.values)
    else:
        same = mine.input_type in ("text", "checkbox") or theirs.values == mine.values
    if entry.values:
        wrong = [
            (value, target)
            for value, target in _mapped_values(mine, entry, same)
            if not suits(theirs, target)
        ]
        if wrong:
            return "other values", (
                f"has value {wrong[0][0]!r} in the function, which becomes {wrong[0][1]!r},"
                f" but has values {list(theirs.values)!r} in the dataset"
            )
        same = same or mine.input_type in CHOICES or entry.values.get(REST, SAME) != SAME
    if not same:
        return "other values", (
            f"has values {list(mine.values)!r} in the function,"
            f" but {list(theirs.values)!r} in the dataset"
        )
    return "matched", None


def _mapped_values(
    mine: Attribute, entry: AttributeMapping, same: bool
) -> Iterable[tuple[str, str]]:
    """The values that the mapping decides about, with what they become."""
    named = [value for value in entry.values if value != REST]
    for value in mine.values if mine.input_type in CHOICES and not same else named:
        target = entry.map_value(value)
        if target is not None:
            yield value, target
    rest = entry.values.get(REST, SAME)
    if rest is not None and rest != SAME:
        yield REST, rest
