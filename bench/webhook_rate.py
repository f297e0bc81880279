"""Measure how many deliveries a second `cvat-flows webhook` handles, and whether it loses any.

`python -m bench.webhook_rate [--deliveries 20000]` runs a Prefect server and the receiver in
separate processes. One delivery in twenty is the first about a ready task: a sweep must be started
for it. The others are those that CVAT sends while tasks are imported and annotated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cvat_flows.deployments.listening import free_port
from cvat_flows.flows.cli import set_prefect_defaults

SECRET = "a secret for the benchmark"
DELIVERIES_PER_TASK = 20


def main() -> int:
    """Measure and print. Return 1 if a delivery was lost."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhook_rate", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=3000)
    parser.add_argument("--senders", type=int, default=32, help="number of simultaneous deliveries")
    arguments = parser.parse_args()
    set_prefect_defaults()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhook-rate-")))
        return _measure(stack, folder, arguments.deliveries, arguments.senders)


def _measure(stack: ExitStack, folder: Path, deliveries: int, senders: int) -> int:
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    (folder / "prefect").mkdir()
    from cvat_flows.deployments.local_server import local_prefect

    stack.enter_context(local_prefect(folder / "prefect"))
    _make_deployment()
    tasks = range(1, deliveries // DELIVERIES_PER_TASK + 1)
    process, url = _start_receiver(stack)
    bodies = _bodies(tasks, deliveries)
    answers, seconds = asyncio.run(_send(url, bodies, senders))
    print(f"{len(bodies) / seconds:,.0f} deliveries a second ({len(bodies):,} in {seconds:.1f} s)")
    print(f"answers: {dict(answers)}, memory of the receiver: {_memory(process.pid):.0f} MB")
    sweeps = _sweeps(len(tasks))
    asked = Counter(task for sweep in sweeps for task in sweep)
    print(f"{len(tasks)} tasks became ready, {len(asked)} are in {len(sweeps)} sweeps")
    return 0 if set(answers) == {200} and asked.keys() == set(tasks) else 1


def _make_deployment() -> None:
    """Create the sweep's deployment. No worker runs its runs."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name("annotate-new-tasks")
        client.create_deployment(flow_id, "annotate-new-tasks")


def _start_receiver(stack: ExitStack) -> tuple[subprocess.Popen[bytes], str]:
    import httpx

    port = free_port()
    command = [sys.executable, "-m", "cvat_flows.flows.cli", "webhook", "--port", str(port)]
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env={**os.environ, "CVAT_FLOWS_WEBHOOK_SECRET": SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            httpx.get(f"{url}/health")
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > started + 60:
                raise
            time.sleep(0.01)
        else:
            print(f"the receiver answers {time.monotonic() - started:.2f} s after its start")
            return process, f"{url}/cvat"


def _bodies(tasks: range, count: int) -> list[bytes]:
    """Return deliveries in realistic proportions: most are about known tasks."""
    before = {"updated_date": "2026-01-01T00:00:00Z"}
    bodies: list[dict[str, Any]] = []
    for position, task in enumerate(tasks):
        known = tasks[position // 2]
        empty, row = {"id": task, "size": 0}, {"id": task, "size": 1}
        bodies += [
            {"event": "create:task", "task": {"id": task}},
            *[{"event": "update:task", "task": empty, "before_update": before}] * 2,
            {"event": "create:job", "job": {"id": task, "task_id": task}},
            *[{"event": "update:task", "task": row, "before_update": before}] * 2,
            *[
                {"event": "update:job", "job": {"id": known}, "before_update": before},
                {"event": "update:task", "task": {"id": known, "size": 1}, "before_update": before},
            ]
            * ((DELIVERIES_PER_TASK - 6) // 2),
        ]
    padding = "x" * 4000  # a delivery about a task has about 5 KB
    return [json.dumps({**body, "padding": padding}).encode() for body in bodies[:count]]


async def _send(url: str, bodies: list[bytes], senders: int) -> tuple[Counter[int], float]:
    import httpx

    from cvat_flows.deployments.webhook.delivery import SIGNATURE_HEADER, sign

    signed = [(body, sign(body, SECRET.encode())) for body in bodies]
    waiting = iter(signed)
    answers: Counter[int] = Counter()

    async def sender(client: httpx.AsyncClient) -> None:
        for body, value in waiting:
            answer = await client.post(url, content=body, headers={SIGNATURE_HEADER: value})
            answers[answer.status_code] += 1

    async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
        started = time.monotonic()
        await asyncio.gather(*(sender(client) for _ in range(senders)))
        return answers, time.monotonic() - started


def _memory(pid: int) -> float:
    """Return the peak memory of a process in MB, or NaN where the system does not tell it."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return float("nan")
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


def _sweeps(expected: int) -> list[list[int]]:
    """Return the tasks of each sweep; wait until all tasks are in one."""
    import httpx

    url = f"{os.environ['PREFECT_API_URL']}/flow_runs/filter"
    sweeps: list[list[int]] = []
    for _ in range(60):
        runs = httpx.post(url, json={"limit": 200}).json()
        sweeps = [run["parameters"]["task_ids"] for run in runs]
        if sum(map(len, sweeps)) >= expected:
            break
        time.sleep(0.5)
    return sweeps


if __name__ == "__main__":
    raise SystemExit(main())
