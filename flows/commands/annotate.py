"""`cvat-flows annotate`: annotate CVAT tasks: upload the good frames, list the failed ones."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from cvat_flows.flows.commands.arguments.model_options import add_model_arguments, build
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    use_server_arguments,
)
from cvat_flows.flows.commands.arguments.task_arguments import (
    add_function_arguments,
    parse_task_ids,
    task_values,
)
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.run_output import (
    progress_for,
    say_if_not_recorded,
    show_run,
)
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task_ids", nargs="*", metavar="TASK_ID", help="id of a CVAT task; several are possible"
    )
    parser.add_argument(
        "--project",
        action="append",
        default=[],
        metavar="NAME",
        help="all tasks of this CVAT project (name or id); can be repeated",
    )
    parser.add_argument(
        "--all-new",
        action="store_true",
        help="all tasks (with --project: of the project) on which this function has something "
        "left to do",
    )
    add_function_arguments(parser)
    add_model_arguments(parser, AnnotateTaskParameters)
    add_output_arguments(parser, of="task")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    several = bool(arguments.project or arguments.all_new)
    if several == bool(arguments.task_ids):
        raise UsageError("name the tasks: with TASK_ID, or with --project or --all-new")
    values = task_values(arguments, task_id=1)
    build(AnnotateTaskParameters, values)  # wrong options end the command before anything else
    ids = parse_task_ids(arguments.task_ids)
    use_server_arguments(arguments)
    require_prefect()
    output = Output.of(arguments)
    if several or len(ids) > 1:
        status = _run_several(arguments, values, ids, output)
    else:
        parameters = build(AnnotateTaskParameters, {**values, "task_id": ids[0]})
        finished = run_here(parameters, LiveInputs(progress=progress_for(output)))
        show_run(output, finished.report_or_raise(), finished.url)
        status = FAILED if finished.error else DONE
    say_if_not_recorded(output)
    return status


def _run_several(
    arguments: argparse.Namespace, values: Mapping[str, Any], ids: Sequence[int], output: Output
) -> int:
    # Imported for several tasks only: the sweep takes a while to import.
    from cvat_flows.flows.commands.runs.several_tasks import (
        annotate_several,
        find_tasks,
        load_once,
    )

    function = None
    if not ids:
        ids, function = find_tasks(
            values, projects=arguments.project, only_new=arguments.all_new, output=output
        )
    wanted = [build(AnnotateTaskParameters, {**values, "task_id": task_id}) for task_id in ids]
    if not wanted:
        return DONE
    return annotate_several(wanted, function or load_once(wanted[0], output), output)


COMMAND = Command(
    name="annotate",
    configure=configure,
    run=run,
)
