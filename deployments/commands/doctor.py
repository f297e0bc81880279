"""`cvat-flows doctor`: check CVAT, Prefect, storage, function and machine. Exits with status 1
on a failure.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict

from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    use_server_arguments,
)
from cvat_flows.flows.commands.arguments.task_arguments import (
    add_function_arguments,
    function_values,
    has_function,
)
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from rich.text import Text

    from cvat_flows.deployments.doctor.verdict import Check, Verdict

CHECKS = [
    "cvat",
    "storage",
    "function",
    "prefect",
    "schedules",
    "rules",
    "workers",
    "limits",
    "automations",
]
STYLES = {"ok": "green", "warning": "yellow", "failure": "red"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--strict", action="store_true", help="exit with status 1 for warnings, too"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=CHECKS,
        default=CHECKS,
        metavar="CHECK",
        help=f"run only these checks: {', '.join(CHECKS)}",
    )
    parser.add_argument(
        "--without",
        nargs="+",
        choices=CHECKS,
        default=[],
        metavar="CHECK",
        help="skip these checks",
    )
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="your copy of deployments/prefect.yaml, as given to `cvat-flows setup`",
    )
    add_function_arguments(parser, required=False)
    add_output_arguments(parser)
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.deployments.doctor.verdict import run_checks

    use_server_arguments(arguments)
    output = Output.of(arguments)
    levels: set[str] = set()
    for verdict in run_checks(_checks(arguments)):
        levels.add(verdict.level)
        output.row(asdict(verdict))
        output.show(*format_verdict(verdict))
    bad = {"failure", "warning"} if arguments.strict else {"failure"}
    return 1 if levels & bad else 0


def _checks(arguments: argparse.Namespace) -> list[tuple[str, Check]]:
    """Return the selected checks by name, in the order in which they run."""
    from cvat_flows.deployments.doctor.automations import check_automations
    from cvat_flows.deployments.doctor.cvat import check_cvat
    from cvat_flows.deployments.doctor.limits import check_limits
    from cvat_flows.deployments.doctor.prefect_server import check_server
    from cvat_flows.deployments.doctor.rules import check_rules
    from cvat_flows.deployments.doctor.schedules import check_schedules
    from cvat_flows.deployments.doctor.storage import check_storage
    from cvat_flows.deployments.doctor.workers import check_workers
    from cvat_flows.deployments.setup.deployment_file import FILE

    file = arguments.file or FILE
    checks: dict[str, Check] = {
        "cvat": check_cvat,
        "storage": check_storage,
        "function": partial(_check_functions, arguments),
        "prefect": partial(_with_client, check_server),
        "schedules": partial(_with_client, partial(check_schedules, file=file)),
        "rules": partial(_with_client, check_rules),
        "workers": partial(_with_client, partial(check_workers, file=file)),
        "limits": partial(_with_client, check_limits),
        "automations": partial(_with_client, check_automations),
    }
    selected = set(arguments.only) - set(arguments.without)
    return [(name, checks[name]) for name in CHECKS if name in selected]


def _check_functions(arguments: argparse.Namespace) -> Iterator[Verdict]:
    """Check the function of the options, or those that the deployments use."""
    from aa_functions.reference import FunctionReference
    from cvat_flows.deployments.doctor.function import check_device, check_function
    from cvat_flows.deployments.doctor.rules import functions_in_use

    references = functions_in_use()
    if has_function(arguments):
        name = function_values(arguments)["function"]
        references = [FunctionReference.named(name, arguments.function_parameters or {})]
    for reference in references:
        yield from check_function(reference)
    yield from check_device()


def _with_client(check: Callable[[SyncPrefectClient], Iterable[Verdict]]) -> Iterator[Verdict]:
    from cvat_flows.deployments.setup.connection import prefect_client

    with prefect_client() as client:
        yield from check(client)


def format_verdict(verdict: Verdict) -> list[Text]:
    """Return the lines about a verdict, with what to do about it."""
    from rich.text import Text

    from cvat_flows.flows.commands.printing.terminal import line

    first = Text.assemble(
        (f"{verdict.level:8}", STYLES[verdict.level]),
        "  ",
        (line(verdict.what).plain, "bold"),
        ": ",
        line(verdict.text),
    )
    return (
        [first, Text.assemble("          -> ", line(verdict.advice))] if verdict.advice else [first]
    )


COMMAND = Command(
    name="doctor",
    configure=configure,
    run=run,
)
