"""The arguments that commands about a CVAT task share."""

from __future__ import annotations

import argparse
from collections.abc import Set
from typing import Any

from cvat_cli._internal.parsers import BuildDictAction, parse_function_parameter

from cvat_flows.flows.commands.model_options import add_model_arguments, model_values
from cvat_flows.flows.commands.server_options import add_server_arguments
from cvat_flows.flows.commands.usage_error import UsageError
from cvat_flows.flows.parameters import AnnotateTaskParameters


def add_function_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the options of `cvat-cli task auto-annotate` that select an AA function."""
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
        help="argument for the function's create(...); TYPE is int, float, str or bool",
    )


def function_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of the parameter model that select the function. Raises UsageError."""
    function = arguments.function_module
    if function is None:
        function = arguments.function_file
        if not function.endswith(".py"):
            raise UsageError(f"--function-file {function}: the file name must end in .py")
    return {"function": function, "function_parameters": arguments.function_parameters}


def add_task_arguments(parser: argparse.ArgumentParser, *, exclude: Set[str] = frozenset()) -> None:
    """Add TASK_ID and the options of an annotate-task run, except the fields in `exclude`."""
    add_task_id_argument(parser)
    add_function_arguments(parser)
    add_model_arguments(parser, AnnotateTaskParameters, exclude=exclude)
    add_server_arguments(parser)


def task_values(
    arguments: argparse.Namespace, *, exclude: Set[str] = frozenset()
) -> dict[str, Any]:
    """Return the values of `add_task_arguments` by field of AnnotateTaskParameters."""
    return {
        "task_id": arguments.task_id,
        **function_values(arguments),
        **model_values(arguments, AnnotateTaskParameters, exclude=exclude),
    }


def add_task_id_argument(parser: argparse.ArgumentParser) -> None:
    """Add the positional TASK_ID."""
    parser.add_argument("task_id", metavar="TASK_ID", help="id of the CVAT task")


def parse_task_id(arguments: argparse.Namespace) -> int:
    """Return TASK_ID as a number. Raises UsageError."""
    try:
        return int(arguments.task_id)
    except ValueError:
        raise UsageError(
            f"TASK_ID {arguments.task_id}: must be the number of a CVAT task"
        ) from None
