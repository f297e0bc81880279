"""`cvat-flows annotate-new`: annotate the new CVAT tasks that fit rules, like the nightly
sweep.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from cvat_flows.flows.commands.arguments.model_options import (
    add_model_arguments,
    build,
    model_values,
)
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    given_server_options,
    use_server_arguments,
)
from cvat_flows.flows.commands.arguments.task_arguments import (
    add_function_arguments,
    function_values,
    has_function,
)
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED, SERVER, status_of
from cvat_flows.flows.commands.base.usage_error import UsageError, flag
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.tables import light_table
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.flows.in_process import sweep_here
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.sweep.parameters import RULES_VARIABLE, AnnotateNewTasksParameters
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.flows.sweep.rules import RulesError, SweepRule
from cvat_flows.tasks.cvat.client.settings import command_line_settings

_NOT_SWEEP_OPTIONS = {"rules", "rules_file", "limit"}
_NOT_RULE_OPTIONS = {"function", "function_parameters", "name", "organization"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rules",
        metavar="FILE",
        dest="rules_file",
        help="YAML file with a list of rules (default: the file that CVAT_FLOWS_RULES names)",
    )
    add_function_arguments(parser, required=False)
    add_model_arguments(parser, SweepRule, title="rule", exclude=_NOT_RULE_OPTIONS)
    add_model_arguments(
        parser, AnnotateNewTasksParameters, title="sweep", exclude=_NOT_SWEEP_OPTIONS
    )
    add_output_arguments(parser, of="task")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    parameters = build(
        AnnotateNewTasksParameters,
        {
            **model_values(arguments, AnnotateNewTasksParameters, exclude=_NOT_SWEEP_OPTIONS),
            **_rules(arguments),
        },
    )
    use_server_arguments(arguments)
    if command_line_settings.get() and parameters.run_in == "deployment":
        raise UsageError(
            f"{given_server_options(arguments)[0]} does not work with --run-in deployment, because "
            "workers have their own settings: use --server BLOCK"
        )
    require_prefect()
    report = sweep_here(parameters)
    show(report, Output.of(arguments))
    if report.errors and all(status_of(error) == SERVER for error in report.errors):
        return SERVER
    return FAILED if report.failed else DONE


def show(report: SweepReport, output: Output) -> None:
    """Print the result of the sweep."""
    for row in report.rows:
        output.row(
            {
                "task": row.task.id,
                "name": row.task.name,
                "rule": row.rule,
                "outcome": row.outcome,
                "details": row.text,
                "cvat_url": row.task.url,
                "prefect_url": row.run_url,
            }
        )
    output.row({"result": report.sentence, "failed": report.failed})
    if report.rows:
        table = light_table(
            *("task", "name", "rule", "outcome", "details"), numbers=("task",), whole=("outcome",)
        )
        for row in report.rows:
            table.add_row(
                str(row.task.id), line(row.task.name), line(row.rule), row.outcome, line(row.text)
            )
        output.show(table)
    output.say(report.sentence)


def _rules(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters for a rules file, or for one rule made from the options."""
    rule = model_values(arguments, SweepRule, exclude=_NOT_RULE_OPTIONS)
    if has_function(arguments):
        rule |= function_values(arguments)
    if not arguments.rules_file:
        if not rule.keys() - {"limit"} and os.environ.get(RULES_VARIABLE):
            return rule
        if not rule:
            raise RulesError(
                "select CVAT tasks with --rules FILE or with options such as --projects cars"
            )
        return {"rules": [build(SweepRule, rule)]}
    limit = rule.pop("limit", None)
    if rule:
        given = ", ".join(map(flag, rule))
        raise RulesError(f"{given} cannot be combined with --rules: write it into the file")
    return {"rules_file": arguments.rules_file, "limit": limit}


COMMAND = Command(
    name="annotate-new",
    configure=configure,
    run=run,
)
