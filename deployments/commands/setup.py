"""`cvat-flows setup`: set up a Prefect server: pools, limits, blocks, deployments, automations,
webhooks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cvat_flows.flows.commands.arguments.confirm import add_yes_argument, confirm
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    use_server_arguments,
)
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show the changes, but make none")
    add_yes_argument(parser)
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="your copy of deployments/prefect.yaml. Without it, existing deployments keep their "
        "schedules, parameters, descriptions and limits",
    )
    nightly = parser.add_argument_group("nightly sweep")
    nightly.add_argument(
        "--rules",
        type=Path,
        metavar="FILE",
        help="YAML file that says which tasks get which function. Its content becomes the "
        "deployment's parameter: run setup again after a change",
    )
    nightly.add_argument("--at", metavar="HH:MM", help="when it starts (default: 02:00)")
    nightly.add_argument(
        "--timezone", metavar="ZONE", help="for example Europe/Berlin (default: UTC)"
    )
    parser.add_argument(
        "--download-weights",
        action="store_true",
        help="let the runs of workers download weights that Ultralytics publishes",
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
    add_output_arguments(parser, of="change")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.deployments.setup.changes import pending
    from cvat_flows.deployments.setup.connection import prefect_client
    from cvat_flows.deployments.setup.plan import make_plan
    from cvat_flows.tasks.model.text import counted

    use_server_arguments(arguments)
    output = Output.of(arguments)
    with prefect_client() as client:
        changes = make_plan(client, arguments)
        for change in changes:
            output.say(str(change))
            output.row({"verb": change.verb, "what": change.what, "detail": change.detail})
        todo = pending(changes)
        if not todo:
            output.say("nothing to change")
            return 0
        count = counted(len(todo), "change")
        if arguments.dry_run:
            output.say(f"{count} to make; nothing was changed")
            return 0
        if not confirm(f"make {count}?", yes=arguments.yes):
            output.say("nothing was changed")
            return 1
        for change in todo:
            output.say(f"{change.what} ...")
            assert change.apply
            change.apply()
        output.say("done")
    return 0


COMMAND = Command(
    name="setup",
    configure=configure,
    run=run,
)
