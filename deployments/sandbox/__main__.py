"""`python -m cvat_flows.deployments.sandbox`: a CVAT-compatible server for demos and tests."""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path

from cvat_flows.deployments.sandbox.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m cvat_flows.deployments.sandbox", description=__doc__
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="port; 0: a free one (default: %(default)s)"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps all data")
    parser.add_argument(
        "--quirks", action="store_true", help="also imitate known bugs of CVAT 2.54"
    )
    parser.add_argument(
        "--new-webhooks", action="store_true", help="offer the webhooks of CVAT 2.76, not of 2.54"
    )
    parser.add_argument("--parent", type=int, help="exit when this process has ended")
    options = parser.parse_args()
    if options.parent is not None:
        threading.Thread(target=_exit_with, args=(options.parent,), daemon=True).start()
    serve(
        options.host,
        options.port,
        options.data,
        quirks=options.quirks,
        new_webhooks=options.new_webhooks,
    )


def _exit_with(parent: int) -> None:
    """Exit when the parent process has ended, even if it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    main()
