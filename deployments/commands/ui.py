"""`cvat-flows ui`: start a Prefect server on this machine, to see runs in a browser."""

from __future__ import annotations

import argparse

from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=int, default=4200, metavar="PORT", help="port of the server (default: 4200)"
    )


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.deployments.ui_server import run_server

    def announce() -> None:
        url = f"http://127.0.0.1:{arguments.port}"
        print(
            f"Prefect's UI is at {url}. To record runs there, set in the shell that starts them:\n"
            f"  export PREFECT_API_URL={url}/api\n"
            "`cvat-flows doctor` then checks this server, too. Ctrl-C stops it; what it has "
            "recorded stays.",
            flush=True,
        )

    run_server(arguments.port, announce)
    return DONE


COMMAND = Command(
    name="ui",
    configure=configure,
    run=run,
)
