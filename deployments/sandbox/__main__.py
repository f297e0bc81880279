"""`python -m deployments.sandbox`: a CVAT-compatible server for demos and tests."""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path

from cvat_flows.deployments.sandbox.server import serve


def _end_with(parent: int) -> None:
    """End when the process that started this one is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m cvat_flows.deployments.sandbox", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument(
        "--quirks", action="store_true", help="behave as badly as CVAT 2.54 where it does"
    )
    parser.add_argument("--parent", type=int, help="process id to end with")
    options = parser.parse_args()
    if options.parent is not None:
        threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()
    serve(options.host, options.port, options.data, options.quirks)


if __name__ == "__main__":
    main()
