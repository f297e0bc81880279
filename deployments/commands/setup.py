"""`cvat-flows setup`: set up a Prefect server: pools, limits, blocks, deployments, automations,
webhooks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cvat_flows.flows.commands.command import Command
from cvat_flows.flows.commands.server_options import add_server_arguments, use_server_arguments

if TYPE_CHECKING:
    from cvat_flows.deployments.setup.changes import Change


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show the changes, but make none")
    parser.add_argument(
        "--yes", "-y", action="store_true", help="make the changes without confirmation"
    )
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="your copy of deployments/prefect.yaml. Without it, existing deployments keep their "
        "schedules, parameters, descriptions and limits",
    )
    parser.add_argument(
        "--gpus",
        nargs="+",
        default=[],
        metavar="[HOST=]NUMBER",
        help="number of GPUs that may detect at once: in total (2), or by machine (north=1 "
        "south=1). The worker on machine HOST needs CVAT_FLOWS_GPU_TAG=gpu:HOST (default: the "
        "variable CVAT_FLOWS_GPUS; without that, existing limits stay)",
    )
    parser.add_argument(
        "--gpu-pool",
        metavar="POOL",
        help="work pool for annotating, if the machines with GPUs have their own (default: the "
        "current one)",
    )
    parser.add_argument(
        "--notify",
        metavar="TYPE/NAME",
        help="notification block for failed runs, for example slack-webhook/on-call",
    )
    parser.add_argument(
        "--server-block",
        default="default",
        metavar="NAME",
        help="name of the CVATServer block (default: default)",
    )
    parser.add_argument(
        "--replace-block", action="store_true", help="overwrite an existing CVATServer block"
    )
    webhook = parser.add_argument_group("webhook")
    webhook.add_argument(
        "--webhook",
        action="append",
        default=[],
        metavar="PROJECT",
        help="name or ID of a CVAT project whose tasks are annotated when they are ready; can be "
        "repeated",
    )
    webhook.add_argument(
        "--webhook-organization",
        action="append",
        default=[],
        metavar="ORGANIZATION",
        help="short name of a CVAT organization: all its tasks; can be repeated",
    )
    webhook.add_argument(
        "--webhook-server",
        action="store_true",
        help="all tasks of the CVAT server (CVAT 2.76 or later, administrators only)",
    )
    webhook.add_argument(
        "--webhook-url",
        metavar="URL",
        help="address at which CVAT reaches `cvat-flows webhook`, ending in /cvat",
    )
    webhook.add_argument(
        "--secret-file", type=Path, metavar="FILE", help="file with the webhook's secret"
    )
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.deployments.setup.changes import pending
    from cvat_flows.deployments.setup.connection import prefect_client
    from cvat_flows.deployments.setup.plan import make_plan
    from cvat_flows.tasks.model.text import clean, counted

    use_server_arguments(arguments)
    with prefect_client() as client:
        changes = make_plan(client, arguments)
        for change in changes:
            print(clean(str(change)))
        todo = pending(changes)
        if not todo:
            print("\nnothing to change")
            return 0
        count = counted(len(todo), "change")
        if arguments.dry_run:
            print(f"\n{count} to make; nothing was changed")
            return 0
        if not arguments.yes and not _confirm(count):
            print("nothing was changed")
            return 1
        _apply(todo)
    return 0


def _confirm(count: str) -> bool:
    if not sys.stdin.isatty():
        print("\nthere is no terminal for a confirmation: use --yes", file=sys.stderr)
        return False
    return input(f"\nmake {count}? [y/N] ").strip().lower() in {"y", "yes"}


def _apply(changes: list[Change]) -> None:
    from cvat_flows.tasks.model.text import on_one_line

    print()
    for change in changes:
        print(f"{on_one_line(change.what)} ...", end=" ", flush=True)
        assert change.apply
        change.apply()
        print("done")


COMMAND = Command(
    name="setup",
    configure=configure,
    run=run,
)
