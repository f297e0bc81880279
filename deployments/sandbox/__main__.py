"""`python -m cvat_flows.deployments.sandbox`: `cvat-flows sandbox` as a part of another process."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time

from cvat_flows.deployments.sandbox.options import configure, run
from cvat_flows.flows.commands.base.usage_error import UsageError


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m cvat_flows.deployments.sandbox", description=__doc__
    )
    configure(parser)
    parser.add_argument("--parent", type=int, help="exit when this process has ended")
    arguments = parser.parse_args()
    if arguments.parent is not None:
        threading.Thread(target=_exit_with, args=(arguments.parent,), daemon=True).start()
    try:
        run(arguments)
    except UsageError as error:
        sys.exit(str(error))


def _exit_with(parent: int) -> None:
    """Exit when the parent process has ended, even if it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    main()
