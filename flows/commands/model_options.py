"""Options made from the fields of a parameter model: their flags, help texts and defaults."""

from __future__ import annotations

import argparse
import json
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cvat_flows.flows.commands.usage_error import UsageError, flag
from cvat_flows.tasks.matching.strict_yaml import load_yaml

Model = TypeVar("Model", bound=BaseModel)


def add_model_arguments(
    parser: argparse.ArgumentParser, model: type[BaseModel], *, exclude: set[str]
) -> None:
    """Add an option for each field of the model, except those in `exclude`."""
    group = parser.add_argument_group("options")
    for name, field in model.model_fields.items():
        if name not in exclude:
            _add_field(group, name, field)


def model_values(
    arguments: argparse.Namespace, model: type[BaseModel], *, exclude: set[str]
) -> dict[str, Any]:
    """Return the options that were given, by field. Raises UsageError."""
    values = {}
    for name, field in model.model_fields.items():
        value = None if name in exclude else getattr(arguments, name)
        if value is not None:
            values[name] = _parse_mapping(name, value) if _is_mapping(field) else value
    return values


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
    return f"{name} {row['input']}: {text[:1].lower()}{text[1:]}"


def _add_field(group: Any, name: str, field: FieldInfo) -> None:
    kind = _without_none(field.annotation)
    text = (field.description or "").replace("%", "%%")
    if kind is bool:
        action: Any = argparse.BooleanOptionalAction if field.default else "store_true"
        group.add_argument(flag(name), action=action, default=None, help=text)
    elif get_origin(kind) is Literal:
        group.add_argument(
            flag(name), choices=get_args(kind), help=f"{text} (default: {field.default})"
        )
    elif get_origin(kind) is list:
        metavar = "ID" if get_args(kind) == (int,) else "VALUE"
        group.add_argument(flag(name), nargs="+", metavar=metavar, help=text)
    elif _is_mapping(field):
        group.add_argument(flag(name), metavar="YAML|FILE", help=text)
    else:
        default = "" if field.default is None else f" (default: {field.default})"
        group.add_argument(flag(name), metavar="VALUE", help=f"{text}{default}")


def _parse_mapping(name: str, text: str) -> Any:
    """Parse a mapping in YAML or JSON, or read it from a file."""
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
