"""The arguments that commands about a CVAT task share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence, Set
from typing import Any

from cvat_cli._internal.parsers import BuildDictAction, parse_function_parameter

from aa_functions.installed import installed_functions
from cvat_flows.flows.commands.arguments.model_options import add_model_arguments, model_values
from cvat_flows.flows.commands.arguments.server_options import add_server_arguments
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.output import add_output_arguments
from cvat_flows.flows.parameters import AnnotateTaskParameters


def add_function_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add `--function`, and the options of `cvat-cli task auto-annotate` that select a function."""
    group = parser.add_argument_group("function")
    name = group.add_mutually_exclusive_group(required=required)
    by_name = name.add_argument(
        "--function",
        "-f",
        metavar="NAME",
        help="an installed function (`cvat-flows functions` lists them), the qualified name of a "
        "module, or the path of a .py file",
    )
    complete_with_functions(by_name)
    name.add_argument(
        "--function-module", metavar="MODULE", help="qualified name of a module, as in cvat-cli"
    )
    name.add_argument("--function-file", metavar="PATH", help="path of a .py file, as in cvat-cli")
    add_parameter_argument(group)


def complete_with_functions(argument: argparse.Action) -> None:
    """Let a shell complete an argument with the short names of functions, or else with files."""
    # argcomplete looks for this attribute.
    argument.completer = lambda **_: list(installed_functions())  # type: ignore[attr-defined]


def add_parameter_argument(group: Any) -> None:
    """Add the option of `cvat-cli task auto-annotate` for a function's parameters."""
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
    function = arguments.function or arguments.function_module or arguments.function_file
    if arguments.function_file and not function.endswith(".py"):
        raise UsageError(f"--function-file {function}: the file name must end in .py")
    return {"function": function, "function_parameters": arguments.function_parameters}


def has_function(arguments: argparse.Namespace) -> bool:
    """Return whether an option selects a function."""
    return bool(arguments.function or arguments.function_module or arguments.function_file)


def add_task_arguments(parser: argparse.ArgumentParser, *, exclude: Set[str] = frozenset()) -> None:
    """Add TASK_ID and the options of an annotate-task run, except the fields in `exclude`."""
    add_task_id_argument(parser)
    add_function_arguments(parser)
    add_model_arguments(parser, AnnotateTaskParameters, exclude=exclude)
    add_output_arguments(parser)
    add_server_arguments(parser)


def task_values(
    arguments: argparse.Namespace,
    *,
    task_id: int | str | None = None,
    exclude: Set[str] = frozenset(),
) -> dict[str, Any]:
    """Return the values of `add_task_arguments` by field of AnnotateTaskParameters.

    `task_id` is the task of a command that has no single TASK_ID.
    """
    return {
        "task_id": arguments.task_id if task_id is None else task_id,
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


def parse_task_ids(words: Sequence[str]) -> list[int]:
    """Return the ids once each, in order. Raises UsageError."""
    for word in words:
        if not word.isdecimal() or int(word) < 1:
            raise UsageError(f"TASK_ID {word}: must be the number of a CVAT task")
    return list(dict.fromkeys(map(int, words)))
