"""Measure how many deliveries a second `cvat-flows webhook` handles, and whether it loses any.

`python -m bench.webhook_rate [--deliveries 4000]` runs a sandbox, a Prefect server and the receiver
in separate processes. One delivery in twenty is the first about a ready task: it becomes an event
in Prefect. The others are those that CVAT sends while tasks are imported and annotated.
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

from cvat_flows.deployments.demo.local_prefect import free_port
from cvat_flows.flows.cli import set_prefect_defaults

SECRET = "a secret for the benchmark"
DELIVERIES_PER_TASK = 20
FUNCTION = """
import cvat_sdk.auto_annotation as cvataa
spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec("car", 0)])
def detect(context, image):
    return []
"""


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
    from cvat_flows.deployments.demo.local_prefect import local_prefect
    from cvat_flows.deployments.sandbox.process import SandboxProcess

    stack.enter_context(local_prefect(folder / "prefect"))
    sandbox = stack.enter_context(SandboxProcess(folder / "sandbox"))
    tasks = _make_tasks(sandbox, folder, deliveries // DELIVERIES_PER_TASK)
    url = _start_receiver(stack, folder, sandbox.url)
    bodies = _bodies(tasks, deliveries)
    answers, seconds = asyncio.run(_send(url, bodies, senders))
    announced = _events(len(tasks))
    print(f"{len(bodies) / seconds:,.0f} deliveries a second ({len(bodies):,} in {seconds:.1f} s)")
    print(f"answers: {dict(answers)}")
    print(f"{len(tasks)} tasks became ready, {announced} were announced")
    return 0 if set(answers) == {200} and announced == len(tasks) else 1


def _make_tasks(sandbox: Any, folder: Path, count: int) -> list[int]:
    from cvat_sdk import Client, Config, models
    from PIL import Image

    image = folder / "image.png"
    Image.new("RGB", (8, 8)).save(image)
    config = Config(status_check_period=0.01)
    made = []
    with Client(sandbox.url, config=config, check_server_version=False) as client:
        client.login(sandbox.admin)
        for n in range(count):
            spec = models.TaskWriteRequest(
                name=f"task {n}", labels=[models.PatchedLabelRequest(name="car")]
            )
            made.append(client.tasks.create_from_data(spec=spec, resources=[image]).id)
    return made


def _start_receiver(stack: ExitStack, folder: Path, cvat: str) -> str:
    import httpx

    function = folder / "nothing.py"
    function.write_text(FUNCTION)
    port = free_port()
    command = [sys.executable, "-m", "cvat_flows.flows.cli", "webhook", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--function-file", str(function)],
        env={
            **os.environ,
            "CVAT_HOST": cvat,
            "CVAT_USER": "admin",
            "CVAT_PASSWORD": "admin",
            "CVAT_FLOWS_STORAGE": str(folder / "storage"),
            "CVAT_FLOWS_WEBHOOK_SECRET": SECRET,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/health")
            return f"{url}/cvat"
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _bodies(tasks: list[int], count: int) -> list[bytes]:
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


def _events(expected: int) -> int:
    """Return the number of announced tasks in Prefect; wait until it has stored its events."""
    import httpx

    url = f"{os.environ['PREFECT_API_URL']}/events/filter"
    wanted = {"event": {"name": ["cvat.task.ready"]}, "occurred": {"since": "2026-01-01T00:00:00Z"}}
    total = 0
    for _ in range(240):
        total = httpx.post(url, json={"filter": wanted, "limit": 1}).json()["total"]
        if total >= expected:
            break
        time.sleep(0.5)
    return int(total)


if __name__ == "__main__":
    raise SystemExit(main())
