"""`cvat-flows compare`: compare two functions, or two versions of one, on the same frames. Nothing
is written to CVAT.
"""

from __future__ import annotations

import argparse

from rich.table import Table

from cvat_flows.flows.commands.annotate import say_if_not_recorded
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
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.evaluation_output import add_output_argument, write_output
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.run_output import progress_for
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.flows.evaluation.parameters import CompareFunctionsParameters
from cvat_flows.flows.evaluation.publish import files_of_comparison
from cvat_flows.flows.in_process import compare_here
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.reports.evaluation.comparison import HEADINGS


def configure(parser: argparse.ArgumentParser) -> None:
    add_task_id_argument(parser)
    add_function_arguments(parser)
    add_model_arguments(parser, CompareFunctionsParameters)
    add_output_argument(parser)
    add_output_arguments(parser)
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.other_function is None:
        raise UsageError("--other-function: is missing; name the function to compare with")
    parameters = build(
        CompareFunctionsParameters,
        {
            "task_id": arguments.task_id,
            **function_values(arguments),
            **model_values(arguments, CompareFunctionsParameters),
        },
    )
    use_server_arguments(arguments)
    require_prefect()
    output = Output.of(arguments)
    report = compare_here(parameters, LiveInputs(progress=progress_for(output)))
    rows = report.rows()
    for row in rows:
        output.row(dict(zip(HEADINGS, row, strict=True)))
    figures = Table(*HEADINGS)
    for row in rows:
        figures.add_row(*map(line, row), style="bold" if row[0] == "all" else None)
    output.show(figures, line(report.sentence))
    if arguments.output is not None:
        write_output(arguments.output, files_of_comparison(report))
        output.say(f"report       {(arguments.output / 'comparison.md').absolute()}")
    say_if_not_recorded(output)
    return DONE


COMMAND = Command(
    name="compare",
    configure=configure,
    run=run,
)
