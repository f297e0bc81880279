"""`cvat-flows setup`: make a Prefect server (and CVAT's webhook) ready; again at any time."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cvat_flows.flows.commands.command import Command, add_server_arguments, use_server_arguments

if TYPE_CHECKING:
    from cvat_flows.deployments.setup.changes import Change


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show the changes, make none")
    parser.add_argument("--yes", "-y", action="store_true", help="make the changes without asking")
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="your copy of deployments/prefect.yaml; without it, deployments that are there keep "
        "their schedules, parameters and the like",
    )
    parser.add_argument(
        "--gpus",
        nargs="+",
        default=[],
        metavar="[HOST=]NUMBER",
        help="GPUs that detect at once, in all or for each machine; the runs of a machine count "
        "for it if its worker has CVAT_FLOWS_GPU_TAG=gpu:HOST (default: the variable "
        "CVAT_FLOWS_GPUS, else the limits that are there)",
    )
    parser.add_argument(
        "--gpu-pool",
        metavar="POOL",
        help="work pool for annotating, if the machines with GPUs have one of their own "
        "(default: the one that it has)",
    )
    parser.add_argument(
        "--notify",
        metavar="TYPE/NAME",
        help="notification block that hears of failed runs, for example slack-webhook/on-call",
    )
    parser.add_argument(
        "--server-block",
        default="default",
        metavar="NAME",
        help="name of the CVATServer block (default: default)",
    )
    parser.add_argument(
        "--replace-block", action="store_true", help="change the CVATServer block if it is there"
    )
    webhook = parser.add_argument_group("webhook")
    webhook.add_argument(
        "--webhook",
        action="append",
        default=[],
        metavar="PROJECT",
        help="CVAT project (name or id) that is to tell the receiver about its tasks; repeatable",
    )
    webhook.add_argument(
        "--webhook-url", metavar="URL", help="address of `cvat-flows webhook` as CVAT reaches it"
    )
    webhook.add_argument(
        "--secret-file", type=Path, metavar="FILE", help="file with the webhook's secret"
    )
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.deployments.setup.changes import pending
    from cvat_flows.deployments.setup.plan import make_plan, prefect_client

    use_server_arguments(arguments)
    with prefect_client() as client:
        changes = make_plan(client, arguments)
        for change in changes:
            print(change)
        todo = pending(changes)
        if not todo:
            print("\nnothing to change")
            return 0
        if arguments.dry_run:
            print(f"\n{len(todo)} changes to make; nothing was changed")
            return 0
        if not arguments.yes and not _agreed(len(todo)):
            print("nothing was changed")
            return 1
        _make(todo)
    return 0


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        print("\nsay --yes to make the changes without being asked", file=sys.stderr)
        return False
    return input(f"\nmake these {count} changes? [y/N] ").strip().lower() in {"y", "yes"}


def _make(changes: list[Change]) -> None:
    print()
    for change in changes:
        print(f"{change.what} ...", end=" ", flush=True)
        assert change.apply
        change.apply()
        print("done")


COMMAND = Command(
    name="setup",
    help="Make a Prefect server ready: pools, limits, blocks, deployments, automations, webhooks.",
    configure=configure,
    run=run,
)
