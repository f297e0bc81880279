"""Run the flow in a separate process, to measure its peak memory or to kill it.

    python -m bench.child TASK URL FUNCTION

FUNCTION is JSON, `{"module": ..., "parameters": {...}}`. Prints `begin`, then `frames N` whenever
frames are done, then `end` with a JSON object of results.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from bench.runs import Function
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs


class PrintedProgress:
    """Prints the number of frames that are done."""

    def __init__(self) -> None:
        self.frames = 0

    def phase(self, text: str) -> None:
        return

    def start(self, total: int, description: str) -> None:
        return

    def advance(self, frames: int) -> None:
        self.frames += frames
        print("frames", self.frames, flush=True)

    def finish(self) -> None:
        return


def main() -> None:
    """Run the flow and print the results."""
    from cvat_sdk import Client

    task_id, url, function = sys.argv[1:]
    client = Client(url, check_server_version=False)
    client.login(("admin", "admin"))
    loaded = Function(**json.loads(function)).load()
    parameters = AnnotateTaskParameters(
        task_id=int(task_id), function="bench", allow_unmatched_labels=True
    )
    print("begin", flush=True)
    begin = time.perf_counter()
    finished = run_here(
        parameters, LiveInputs(client=client, function=loaded, progress=PrintedProgress())
    )
    seconds = time.perf_counter() - begin
    if finished.error is not None:
        raise finished.error
    print("end", json.dumps({"seconds": seconds, "peak_mb": peak_megabytes()}))


def peak_megabytes() -> float:
    """Return the peak memory of this process. `getrusage` would include that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main()
