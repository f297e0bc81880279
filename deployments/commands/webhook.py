"""`cvat-flows webhook`: receive CVAT's webhooks and announce ready tasks to Prefect."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cvat_flows.deployments.webhook.secret import SECRET_VARIABLE, read_secret
from cvat_flows.flows.commands.command import Command
from cvat_flows.flows.commands.model_options import build
from cvat_flows.flows.commands.server_options import add_server_arguments, use_server_arguments
from cvat_flows.flows.commands.task_arguments import add_function_arguments, function_values
from cvat_flows.flows.commands.usage_error import UsageError
from cvat_flows.tasks.model.log_filter import CleanFilter

if TYPE_CHECKING:
    from cvat_flows.flows.sweep.rules import SweepRule


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8085, help="port (default: 8085)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help=f"file with the webhook's secret (default: the variable {SECRET_VARIABLE})",
    )
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="YAML file with the rules of the nightly sweep: which tasks get which function "
        "(default: the variable CVAT_FLOWS_RULES). Without rules, every task of the webhook's "
        "projects gets the function below",
    )
    add_function_arguments(parser, required=False)
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    import uvicorn

    from cvat_flows.deployments.webhook.announcer import Announcer
    from cvat_flows.deployments.webhook.ready_tasks import ReadyTaskFinder
    from cvat_flows.deployments.webhook.receiver import PATH, make_app

    secret = read_secret(arguments.secret_file)
    rules = _rules(arguments)
    use_server_arguments(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger().handlers[0].addFilter(CleanFilter())
    logging.getLogger("cvat_flows").setLevel(logging.INFO)
    app = make_app(Announcer(ReadyTaskFinder(rules).scan), secret=secret.encode())
    print(f"listening on http://{arguments.host}:{arguments.port}{PATH}", flush=True)
    uvicorn.run(
        app, host=arguments.host, port=arguments.port, access_log=False, log_level="warning"
    )
    return 0


def _rules(arguments: argparse.Namespace) -> list[SweepRule]:
    """Read the rules, or make one rule for the function that the options name."""
    from cvat_flows.flows.sweep.rules import RULES_VARIABLE, SweepRule, read_rules

    function_given = arguments.function_module or arguments.function_file
    if function_given and arguments.rules:
        raise UsageError(
            "--rules names the functions: leave out --function-module and --function-file"
        )
    if function_given:
        return [build(SweepRule, function_values(arguments))]
    file = arguments.rules or os.environ.get(RULES_VARIABLE)
    return read_rules(Path(file)) if file else [build(SweepRule, {})]


COMMAND = Command(
    name="webhook",
    help="Receive CVAT's webhooks and annotate each task when it is ready.",
    configure=configure,
    run=run,
)
