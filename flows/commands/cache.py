"""`cvat-flows cache`: show the cached detections, or prune them by age and size."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import asdict

from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE
from cvat_flows.flows.commands.base.usage_error import flag
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.tables import light_table
from cvat_flows.flows.commands.printing.terminal import line
from cvat_flows.flows.maintain import sentence
from cvat_flows.tasks.detect.cache_usage import cache_usage
from cvat_flows.tasks.detect.pruning import prune
from cvat_flows.tasks.model.text import counted
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
    add_output_arguments(parser, of="function")


def run(arguments: argparse.Namespace) -> int:
    storage, output = open_storage(), Output.of(arguments)
    if arguments.action == "prune":
        age, size = arguments.max_age, arguments.max_size
        pruned = prune(
            storage,
            max_age=None if age is None else timedelta(days=age),
            max_bytes=None if size is None else int(size * 1e9),
        )
        output.say(sentence(pruned))
        output.row(asdict(pruned))
        return DONE
    content = cache_usage(storage)
    table = light_table(
        *("function", "version", "options", "images", "MB", "newest (UTC)"),
        numbers=("images", "MB"),
        whole=("version", "newest (UTC)"),
    )
    for function in content.functions:
        table.add_row(
            line(function.title),
            function.fingerprint[:8],
            line(_options(function.parameters)),
            f"{function.images:,}",
            f"{function.size / 1e6:.1f}",
            f"{function.newest:%Y-%m-%d %H:%M}",
        )
        output.row(asdict(function))
    if content.functions:
        output.show(table)
    images = counted(content.images, "image")
    output.say(f"{images}, {content.size / 1e6:,.1f} MB in {storage}")
    return DONE


def _options(parameters: Mapping[str, Any]) -> str:
    """Return what the function was told on each call, as flags; "-" for nothing."""
    given = {name: value for name, value in parameters.items() if value not in (None, False)}
    words = (
        flag(name) if value is True else f"{flag(name)} {value}" for name, value in given.items()
    )
    return " ".join(words) or "-"


COMMAND = Command(
    name="cache",
    configure=configure,
    run=run,
)
