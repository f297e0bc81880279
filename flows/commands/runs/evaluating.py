"""What the commands about the quality of detections share: their arguments, and how they run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from pydantic import BaseModel

from cvat_flows.flows.commands.arguments.model_options import (
    add_model_arguments,
    build,
    model_values,
)
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    use_server_arguments,
)
from cvat_flows.flows.commands.arguments.task_arguments import (
    add_function_arguments,
    add_task_id_argument,
    function_values,
)
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED
from cvat_flows.flows.commands.printing.evaluation_output import add_output_argument, write_output
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.run_output import progress_for, say_if_not_recorded
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs


class QualityReport(Protocol):
    """What such a command reports."""

    @property
    def is_complete(self) -> bool: ...


Parameters = TypeVar("Parameters", bound=BaseModel)
Report = TypeVar("Report", bound=QualityReport)


def add_evaluation_arguments(
    parser: argparse.ArgumentParser, model: type[BaseModel], *, function_required: bool = True
) -> None:
    """Add TASK_ID, the function, the options of a parameter model, and the rest."""
    add_task_id_argument(parser)
    add_function_arguments(parser, required=function_required)
    add_model_arguments(parser, model)
    add_report_arguments(parser)


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about the report and the CVAT server."""
    add_output_argument(parser)
    add_output_arguments(parser)
    add_server_arguments(parser)


def evaluation_parameters(arguments: argparse.Namespace, model: type[Parameters]) -> Parameters:
    """Make the parameters from the arguments of `add_evaluation_arguments`. Raises UsageError."""
    return build(
        model,
        {
            "task_id": arguments.task_id,
            **function_values(arguments),
            **model_values(arguments, model),
        },
    )


def run_and_report(
    arguments: argparse.Namespace,
    parameters: Parameters,
    run_here: Callable[[Parameters, LiveInputs], Report],
    *,
    show: Callable[[Report, Output], None],
    files: Callable[[Report], Mapping[str, bytes]],
    page: str,
) -> int:
    """Run, print the report, write its files into the folder of `--output`.

    Args:
        arguments: The arguments, with those of `add_report_arguments`.
        parameters: The parameters of the run.
        run_here: Runs in this process.
        show: Prints the report.
        files: Returns the report's files by name.
        page: Which of the files is for people.

    Returns:
        The exit status.
    """
    use_server_arguments(arguments)
    require_prefect()
    output = Output.of(arguments)
    report = run_here(parameters, LiveInputs(progress=progress_for(output)))
    show(report, output)
    if arguments.output is not None:
        write_output(arguments.output, files(report), page, output)
    say_if_not_recorded(output)
    return DONE if report.is_complete else FAILED
