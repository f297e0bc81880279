"""What a command is, and the arguments that commands share."""

from __future__ import annotations

import argparse
import json
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from attrs import frozen
from cvat_cli._internal.parsers import BuildDictAction, parse_function_parameter
from cvat_sdk.core.auth import configure_client_auth_arguments
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.tasks.cvat.connection import (
    ServerSettings,
    ServerSettingsError,
    settings_from_profile,
)
from cvat_flows.tasks.cvat.server_block import command_line_overrides, command_line_settings
from cvat_flows.tasks.matching.strict_yaml import load_yaml
from cvat_flows.tasks.model.errors import CvatFlowsError

Model = TypeVar("Model", bound=BaseModel)


class UsageError(CvatFlowsError):
    """An option's value is not what the option takes."""


@frozen(kw_only=True)
class Command:
    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cvat-cli` that say which CVAT server, as whom."""
    configure_client_auth_arguments(parser.add_argument_group("CVAT server"))


def use_server_arguments(arguments: argparse.Namespace, *, block: str | None = None) -> None:
    """Make the server that the options name the one that runs in this process use.

    `block` is the CVATServer block that names it already; by default the one of `--server`.
    Raises ServerSettingsError if the options contradict each other.
    """
    block = block or getattr(arguments, "server", None)
    naming = server_options(arguments, _NAMING)
    if block and naming:
        raise ServerSettingsError(
            f"the CVATServer block {block!r} names the server: leave out {', '.join(naming)}"
        )
    if arguments.profile and len(naming) > 1:
        raise ServerSettingsError(f"--profile names the server: leave out {', '.join(naming[1:])}")
    settings: ServerSettings | None = None
    if arguments.profile:
        settings = settings_from_profile(arguments.profile)
    elif naming:
        if not (arguments.server_host and arguments.auth):
            raise ServerSettingsError(
                f"{', '.join(naming)} cannot stand alone: --server-host and --auth belong "
                "together, and --server-port to them"
            )
        host = arguments.server_host.rstrip("/")
        if arguments.server_port:
            host = f"{host}:{arguments.server_port}"
        credentials = arguments.auth(host)
        settings = ServerSettings(
            host=host, username=credentials.user, password=credentials.password
        )
    changes: dict[str, Any] = {}
    if arguments.organization is not None:
        changes["organization"] = arguments.organization
    if arguments.insecure:
        changes["verify_ssl"] = False
    command_line_settings.set(settings)
    command_line_overrides.set(changes)


_NAMING = ("profile", "server_host", "server_port", "auth")
_OF_THE_SERVER = (*_NAMING, "organization", "insecure")


def server_options(
    arguments: argparse.Namespace, names: Sequence[str] = _OF_THE_SERVER
) -> list[str]:
    """Which options about the CVAT server were given."""
    given = [name for name in names if getattr(arguments, name) not in (None, False)]
    return [f"--{name.replace('_', '-')}" for name in given]


def task_id_of(arguments: argparse.Namespace) -> int:
    """The positional TASK_ID. Raises UsageError."""
    try:
        return int(arguments.task_id)
    except ValueError:
        raise UsageError(
            f"TASK_ID {arguments.task_id}: must be the number of a CVAT task"
        ) from None


def add_function_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The options of `cvat-cli task auto-annotate` that name an AA function."""
    group = parser.add_argument_group("function")
    name = group.add_mutually_exclusive_group(required=required)
    name.add_argument(
        "--function-module", metavar="MODULE", help="qualified name of a module to use"
    )
    name.add_argument("--function-file", metavar="PATH", help="path of a Python file to use")
    group.add_argument(
        "--function-parameter",
        "-p",
        metavar="NAME=TYPE:VALUE",
        type=parse_function_parameter,
        action=BuildDictAction,
        dest="function_parameters",
        help="parameter for the function's create(...); TYPE is int, float, str or bool",
    )


def function_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The function's fields of the parameter model."""
    function = arguments.function_module
    if function is None:
        function = arguments.function_file
        if not function.endswith(".py"):
            raise UsageError(f"--function-file {function}: the name of a Python file ends in .py")
    return {"function": function, "function_parameters": arguments.function_parameters}


def add_task_arguments(parser: argparse.ArgumentParser, *, without: set[str]) -> None:
    """TASK_ID and the options for a run over it, but for the fields `without`."""
    parser.add_argument("task_id", metavar="TASK_ID", help="id of the CVAT task")
    add_function_arguments(parser)
    add_model_arguments(parser, AnnotateTaskParameters, without=without)
    add_server_arguments(parser)


def task_values(arguments: argparse.Namespace, *, without: set[str]) -> dict[str, Any]:
    """What `add_task_arguments` added gave, by field of AnnotateTaskParameters."""
    return {
        "task_id": arguments.task_id,
        **function_of(arguments),
        **model_values(arguments, AnnotateTaskParameters, without=without),
    }


def add_model_arguments(
    parser: argparse.ArgumentParser, model: type[BaseModel], *, without: set[str]
) -> None:
    """An option for each field of a parameter model, with the field's help and default."""
    group = parser.add_argument_group("options")
    for name, field in model.model_fields.items():
        if name not in without:
            _add_field(group, name, field)


def model_values(
    arguments: argparse.Namespace, model: type[BaseModel], *, without: set[str]
) -> dict[str, Any]:
    """What the options gave, by field; a field that was not given is left to its default."""
    values = {}
    for name, field in model.model_fields.items():
        value = None if name in without else getattr(arguments, name)
        if value is not None:
            values[name] = _structured(name, value) if _is_mapping(field) else value
    return values


def build(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Make the parameters. Raises UsageError, naming every option at fault."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError("; ".join(map(_complaint, error.errors()))) from None


def _complaint(row: Any) -> str:
    text = row["msg"].removeprefix("Value error, ")
    if not row["loc"]:
        return str(text)
    field = str(row["loc"][0])
    name = "TASK_ID" if field == "task_id" else f"--{field}".replace("_", "-")
    return f"{name} {row['input']}: {text[:1].lower()}{text[1:]}"


def _add_field(group: Any, name: str, field: FieldInfo) -> None:
    option = f"--{name}".replace("_", "-")
    kind = _without_none(field.annotation)
    text = (field.description or "").replace("%", "%%")
    if kind is bool:
        action: Any = argparse.BooleanOptionalAction if field.default else "store_true"
        group.add_argument(option, action=action, default=None, help=text)
    elif get_origin(kind) is Literal:
        group.add_argument(
            option, choices=get_args(kind), help=f"{text} (default: {field.default})"
        )
    elif get_origin(kind) is list:
        metavar = "ID" if get_args(kind) == (int,) else "VALUE"
        group.add_argument(option, nargs="+", metavar=metavar, help=text)
    elif _is_mapping(field):
        group.add_argument(option, metavar="YAML|FILE", help=text)
    else:
        default = "" if field.default is None else f" (default: {field.default})"
        group.add_argument(option, metavar="VALUE", help=f"{text}{default}")


def _structured(name: str, text: str) -> Any:
    """A mapping in YAML (JSON is YAML, too), or a file that holds one."""
    try:
        # Not Path.is_file: it raises for what is too long to be a path.
        value = load_yaml(Path(text).read_text() if os.path.isfile(text) else text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--{name.replace('_', '-')} {text}: cannot be read ({error})") from None
    if not isinstance(value, dict):
        raise UsageError(
            f"--{name.replace('_', '-')} {json.dumps(text)}: neither a file nor a mapping such as "
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
