"""`cvat-flows doctor`: check the whole set-up and say what to do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict

from cvat_flows.flows.commands.command import (
    Command,
    add_function_arguments,
    add_server_arguments,
    function_of,
    use_server_arguments,
)

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from cvat_flows.deployments.doctor import Check, Verdict

DEFAULT_FUNCTION = "aa_functions.shapes"
CHECKS = [
    "cvat",
    "storage",
    "function",
    "prefect",
    "schedules",
    "workers",
    "limits",
    "automations",
]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print a JSON line for each verdict")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 for warnings, not for failures alone"
    )
    parser.add_argument(
        "--only", nargs="+", choices=CHECKS, default=CHECKS, metavar="CHECK", help=", ".join(CHECKS)
    )
    parser.add_argument(
        "--without", nargs="+", choices=CHECKS, default=[], metavar="CHECK", help="leave these out"
    )
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="the copy of deployments/prefect.yaml that setup was given",
    )
    add_function_arguments(parser, required=False)
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.text import Text

    from cvat_flows.deployments.doctor import run_checks

    use_server_arguments(arguments)
    console = Console(highlight=False)
    worst: set[str] = set()
    for verdict in run_checks(_checks(arguments)):
        worst.add(verdict.level)
        if arguments.json:
            print(json.dumps(asdict(verdict), ensure_ascii=False))
        else:
            console.print(_line(verdict))
            if verdict.advice:
                console.print(Text(f"          -> {verdict.advice}"))
    bad = {"failure", "warning"} if arguments.strict else {"failure"}
    return 1 if worst & bad else 0


def _checks(arguments: argparse.Namespace) -> Iterator[tuple[str, Check]]:
    from aa_functions.reference import FunctionReference
    from cvat_flows.deployments.doctor import cvat, machine, prefect

    wanted = [name for name in arguments.only if name not in arguments.without]
    if "cvat" in wanted:
        yield "CVAT", cvat.check_cvat
    if "storage" in wanted:
        yield "storage", machine.check_storage
    if "function" in wanted:
        given = arguments.function_module or arguments.function_file
        named = function_of(arguments) if given else {"function": DEFAULT_FUNCTION}
        reference = FunctionReference.named(
            str(named["function"]), arguments.function_parameters or {}
        )
        yield "function", partial(machine.check_function, reference)
    given_file = {"file": arguments.file} if arguments.file else {}
    on_server: dict[str, Callable[[SyncPrefectClient], Iterator[Verdict]]] = {
        "prefect": prefect.check_server,
        "schedules": partial(prefect.check_schedules, **given_file),
        "workers": partial(prefect.check_workers, **given_file),
        "limits": prefect.check_limits,
        "automations": prefect.check_automations,
    }
    for name in wanted:
        if name in on_server:
            yield name, partial(_on_server, on_server[name])


def _on_server(check: Callable[[SyncPrefectClient], Iterator[Verdict]]) -> Iterator[Verdict]:
    from cvat_flows.deployments.setup.plan import prefect_client

    with prefect_client() as client:
        yield from check(client)


def _line(verdict: Verdict) -> object:
    from rich.text import Text

    style = {"ok": "green", "warning": "yellow", "failure": "red"}[verdict.level]
    return Text.assemble(
        (f"{verdict.level:8}", style), "  ", (verdict.what, "bold"), f": {verdict.text}"
    )


COMMAND = Command(
    name="doctor",
    help="Check CVAT, Prefect, storage, function and machine; exit status 1 if something is wrong.",
    configure=configure,
    run=run,
)
