"""`cvat-flows sandbox`: run a small CVAT-compatible server for demos and tests (admin/admin,
worker/worker).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cvat_flows.flows.commands.command import Command


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=int, default=8080, help="port; 0: a free one (default: 8080)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder that keeps all data"
    )
    parser.add_argument(
        "--quirks", action="store_true", help="also imitate known bugs of CVAT 2.54"
    )
    parser.add_argument(
        "--new-webhooks", action="store_true", help="offer the webhooks of CVAT 2.76, not of 2.54"
    )


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.deployments.sandbox.server import serve

    serve(
        arguments.host,
        arguments.port,
        arguments.data,
        quirks=arguments.quirks,
        new_webhooks=arguments.new_webhooks,
    )
    return 0


COMMAND = Command(
    name="sandbox",
    configure=configure,
    run=run,
)
