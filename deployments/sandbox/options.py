"""The options of the sandbox. The server is imported when it starts, not for `--help`."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
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
    """Serve until interrupted. Raises UsageError if the server cannot listen on the address."""
    from cvat_flows.deployments.sandbox.server import serve

    serve(
        arguments.host,
        arguments.port,
        arguments.data,
        quirks=arguments.quirks,
        new_webhooks=arguments.new_webhooks,
    )
    return 0
