"""The row of functions behind a URL."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.rows import SMALL, Effort, Result, fresh
from bench.runs import Function, alternate, flow_run, median
from bench.stage import Stage
from bench.table import Row

SECONDS = 0.05
IN_FLIGHT = 4
SPEC = json.dumps([{"name": "square", "type": "rectangle"}])


def nuclio(stage: Stage, effort: Effort) -> Result:
    """Measure runs with a function that takes 50 ms: four requests in flight against one."""
    count = effort.constant_frames
    task_id = stage.task(count, SMALL)
    command = [sys.executable, "-m", "bench.nuclio_function", str(SECONDS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        runs = []
        for concurrency in (1, IN_FLIGHT):
            parameters = {"url": url, "spec": SPEC, "concurrency": concurrency}
            function = Function(module="aa_functions.nuclio", parameters=parameters).load()
            runs.append(
                fresh(stage, task_id, lambda function=function: flow_run(stage, task_id, function))
            )
        runs[1]()
        one, four = alternate(max(1, effort.rounds // 2), *runs)
        process.stdin.close()
    ratio = median(one) / median(four)
    return Row(
        what=f"a function behind a URL, {IN_FLIGHT} requests in flight against 1",
        measured=f"{count / median(four):.1f} frames/s, {count / median(one):.1f}",
        ratio=ratio,
        target="at least 3.5",
        met=ratio >= 3.5,
        note=f"{count} frames 640x360, {SECONDS * 1000:.0f} ms each",
    )
