"""`cvat-flows cache`: show the cached detections, or prune them by age and size."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from cvat_flows.flows.commands.command import Command
from cvat_flows.flows.commands.exit_status import DONE
from cvat_flows.flows.commands.terminal import line, say
from cvat_flows.flows.maintain import sentence
from cvat_flows.tasks.detect.cache_usage import cache_usage
from cvat_flows.tasks.detect.pruning import prune
from cvat_flows.tasks.storage import open_storage


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("show", "prune"), nargs="?", default="show", help="default: show"
    )
    parser.add_argument(
        "--max-age", type=float, metavar="DAYS", help="prune: delete detections older than this"
    )
    parser.add_argument(
        "--max-size",
        type=float,
        metavar="GB",
        help="prune: then delete the oldest beyond this size",
    )


def run(arguments: argparse.Namespace) -> int:
    storage = open_storage()
    if arguments.action == "prune":
        age, size = arguments.max_age, arguments.max_size
        pruned = prune(
            storage,
            max_age=None if age is None else timedelta(days=age),
            max_bytes=None if size is None else int(size * 1e9),
        )
        say(sentence(pruned))
        return DONE
    content = cache_usage(storage)
    table = Table("function", "fingerprint", "parameters", "images", "MB", "newest")
    for function in content.functions:
        table.add_row(
            line(function.title),
            function.fingerprint[:12],
            line(json.dumps(dict(function.parameters))),
            f"{function.images:,}",
            f"{function.size / 1e6:.1f}",
            f"{function.newest:%Y-%m-%d %H:%M}",
        )
    Console().print(table)
    say(f"{content.images:,} images, {content.size / 1e6:,.1f} MB in {storage}")
    return DONE


COMMAND = Command(
    name="cache",
    configure=configure,
    run=run,
)
