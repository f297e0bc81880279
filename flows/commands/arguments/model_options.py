"""Options made from the fields of a parameter model: their flags, help texts and defaults."""

from __future__ import annotations

import argparse
import json
import os
import types
import typing
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cvat_flows.flows.commands.base.usage_error import UsageError, flag
from cvat_flows.flows.option import Group, option_of

Model = TypeVar("Model", bound=BaseModel)
ESSENTIAL = "essential options"
"""Heading of the options that come first."""


def add_model_arguments(
    parser: argparse.ArgumentParser,
    model: type[BaseModel],
    *,
    title: str = "options",
    exclude: Set[str] = frozenset(),
) -> None:
    """Add an option for each field of the model, except those in `exclude`, in the fields' groups.

    Essential options come first. Fields without a group are under `title`. A field that has its own
    argument gets no other.
    """
    fields = list(_option_fields(model, exclude))
    groups: dict[str, list[tuple[str, FieldInfo]]] = {ESSENTIAL: []}
    groups |= {title if name == "options" else name: [] for name in get_args(Group)}
    for name, field in fields:
        option = option_of(field)
        group = title if option.group == "options" else option.group
        groups[ESSENTIAL if option.is_essential else group].append((name, field))
    for heading, members in groups.items():
        if members:
            shown = parser.add_argument_group(heading)
            for name, field in members:
                _add_field(shown, name, field)


def model_values(
    arguments: argparse.Namespace, model: type[BaseModel], *, exclude: Set[str] = frozenset()
) -> dict[str, Any]:
    """Return the options that were given, by field. Raises UsageError."""
    values = {}
    for name, field in _option_fields(model, exclude):
        value = getattr(arguments, name)
        if value is not None:
            values[name] = _parse_mapping(name, value) if _is_mapping(field) else value
    return values


def _option_fields(model: type[BaseModel], exclude: Set[str]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if name not in exclude and not option_of(field).has_own_argument:
            yield name, field


def build(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Make a model from its values. Raises UsageError, which names all wrong options."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError("; ".join(map(_describe_error, error.errors()))) from None


def _describe_error(row: Any) -> str:
    text = row["msg"].removeprefix("Value error, ")
    if not row["loc"]:
        return str(text)
    field = str(row["loc"][0])
    name = "TASK_ID" if field == "task_id" else flag(field)
    if row["type"] == "missing":
        return f"{name}: is missing"
    return f"{name} {row['input']}: {text[:1].lower()}{text[1:]}"


def _add_field(group: Any, name: str, field: FieldInfo) -> None:
    kind, option = _without_none(field.annotation), option_of(field)
    text = (field.description or "").replace("%", "%%")
    if option.is_alias:
        group.add_argument(flag(name), action="store_true", default=None, help=argparse.SUPPRESS)
        return
    if kind is bool:
        action: Any = argparse.BooleanOptionalAction if field.default else "store_true"
        group.add_argument(flag(name), action=action, default=None, help=text)
    elif get_origin(kind) is Literal:
        group.add_argument(flag(name), choices=get_args(kind), help=text + _default_text(field))
    elif get_origin(kind) is list:
        group.add_argument(flag(name), nargs="+", metavar=option.metavar or "VALUE", help=text)
    elif _is_mapping(field):
        group.add_argument(flag(name), metavar="YAML|FILE", help=text)
    else:
        metavar = option.metavar or "VALUE"
        group.add_argument(flag(name), metavar=metavar, help=text + _default_text(field))


def _default_text(field: FieldInfo) -> str:
    if field.is_required() or field.default is None:
        return ""
    return f" (default: {field.default})"


def _parse_mapping(name: str, text: str) -> Any:
    """Parse a mapping in YAML or JSON, or read it from a file."""
    import yaml

    from cvat_flows.tasks.matching.strict_yaml import load_yaml

    try:
        # Path.is_file would raise an error if the text is too long for a path.
        value = load_yaml(Path(text).read_text() if os.path.isfile(text) else text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{flag(name)} {text}: cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise UsageError(
            f"{flag(name)} {json.dumps(text)}: is neither a file nor a mapping such as "
            "'{name: value}'"
        )
    return value


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (types.UnionType, typing.Union):
        (kind,) = [part for part in get_args(annotation) if part is not type(None)]
        return kind
    return annotation


def _is_mapping(field: FieldInfo) -> bool:
    return get_origin(_without_none(field.annotation)) is dict
