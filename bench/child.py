"""One run of the flow in a process of its own, for what needs one: its peak memory, its death.

    python -m bench.child TASK URL FUNCTION

FUNCTION is JSON, `{"module": ..., "parameters": {...}}`. Prints `begin`, then `frames N` as they
are done, then `end` with a JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from prefect import flow

from bench.runs import Function
from cvat_flows.flows.annotate import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs


class Spoken:
    """Progress on standard output."""

    def __init__(self) -> None:
        self.frames = 0

    def start(self, total: int, description: str) -> None:
        return

    def advance(self, frames: int) -> None:
        self.frames += frames
        print("frames", self.frames, flush=True)

    def finish(self) -> None:
        return


@flow(name="nothing")
def nothing() -> None:
    """Make Prefect start its server, which is not part of what is measured."""


def main() -> None:
    """Run and report."""
    from cvat_sdk import Client

    task_id, url, function = sys.argv[1:]
    client = Client(url, check_server_version=False)
    client.login(("admin", "admin"))
    loaded = Function(**json.loads(function)).load()
    nothing()
    parameters = AnnotateTaskParameters(
        task_id=int(task_id), function="bench", allow_unmatched_labels=True
    )
    print("begin", flush=True)
    begin = time.perf_counter()
    finished = run_here(parameters, LiveInputs(client=client, function=loaded, progress=Spoken()))
    seconds = time.perf_counter() - begin
    if finished.error is not None:
        raise finished.error
    print("end", json.dumps({"seconds": seconds, "peak_mb": peak_megabytes()}))


def peak_megabytes() -> float:
    """Most memory that this program had; `getrusage` would count what its parent had, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main()
