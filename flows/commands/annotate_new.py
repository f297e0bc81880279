"""`cvat-flows annotate-new`: find the CVAT tasks that are new, and annotate them."""

from __future__ import annotations

import argparse
import os
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cvat_flows.flows.annotate_new import sweep_here
from cvat_flows.flows.commands.command import (
    Command,
    UsageError,
    add_function_arguments,
    add_model_arguments,
    add_server_arguments,
    build,
    function_of,
    model_values,
    server_options,
    use_server_arguments,
)
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.flows.sweep.rules import (
    RULES_VARIABLE,
    AnnotateNewTasksParameters,
    RulesError,
    SweepRule,
)
from cvat_flows.tasks.cvat.server_block import command_line_settings

_OF_THE_SWEEP = {"rules", "rules_file", "limit"}
_OF_THE_RULE = {"function", "function_parameters", "name", "organization"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rules",
        metavar="FILE",
        dest="rules_file",
        help="YAML file with a list of rules (default: the variable CVAT_FLOWS_RULES)",
    )
    add_function_arguments(parser, required=False)
    add_model_arguments(parser, SweepRule, without=_OF_THE_RULE)
    add_model_arguments(parser, AnnotateNewTasksParameters, without=_OF_THE_SWEEP)
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    parameters = build(
        AnnotateNewTasksParameters,
        {
            **model_values(arguments, AnnotateNewTasksParameters, without=_OF_THE_SWEEP),
            **_rules(arguments),
        },
    )
    use_server_arguments(arguments)
    if command_line_settings.get() and parameters.run_in == "deployment":
        raise UsageError(
            f"{server_options(arguments)[0]}: workers have settings of their own, and with "
            "--run-in deployment they annotate; name the server for all by --server BLOCK"
        )
    report = sweep_here(parameters)
    show(report)
    return 1 if report.failed else 0


def show(report: SweepReport) -> None:
    """Print what the sweep did."""
    console = Console()
    if report.rows:
        table = Table("task", "name", "rule", "outcome", "what")
        for row in report.rows:
            table.add_row(
                str(row.task.id), Text(row.task.name), Text(row.rule), row.outcome, Text(row.text)
            )
        console.print(table)
    console.print(Text(report.sentence))


def _rules(arguments: argparse.Namespace) -> dict[str, Any]:
    """A file of rules, or one rule made of the options; not both."""
    rule = model_values(arguments, SweepRule, without=_OF_THE_RULE)
    if arguments.function_module or arguments.function_file:
        rule |= function_of(arguments)
    if not arguments.rules_file:
        if not rule.keys() - {"limit"} and os.environ.get(RULES_VARIABLE):
            return rule
        if not rule:
            raise RulesError(
                "say which CVAT tasks are meant: --rules FILE, or options such as --projects cars"
            )
        return {"rules": [build(SweepRule, rule)]}
    limit = rule.pop("limit", None)
    if rule:
        given = ", ".join(f"--{name.replace('_', '-')}" for name in rule)
        raise RulesError(f"{given} cannot be added to the rules of a file: write it into the file")
    return {"rules_file": arguments.rules_file, "limit": limit}


COMMAND = Command(
    name="annotate-new",
    help="Annotate the CVAT tasks that are new by rules: once now, as the nightly sweep does.",
    configure=configure,
    run=run,
)
