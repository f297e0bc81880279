"""`cvat-flows worker` with a real Prefect server and a real worker."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType

from cvat_flows.deployments.listening import free_port
from tests.support.stack import Stack
from tests.support.waiting import wait_until

COMMAND = [sys.executable, "-m", "cvat_flows.flows.cli"]
FLOW = """
import os, time
from pathlib import Path
from prefect import flow

@flow
def wait_for_file(path: str):
    tag, gpus = os.environ.get("CVAT_FLOWS_GPU_TAG"), os.environ.get("CUDA_VISIBLE_DEVICES")
    Path(path + ".seen").write_text(f"{tag} {gpus}")
    while not Path(path).exists():
        time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpus", "5"], "--gpus 5: there is no GPU '5'; give all, none, or numbers from 0 to 1"),
        (["--pool", "nowhere"], "--pool nowhere: there is no such work pool; run `cvat-flows"),
        (["--pool", "boats"], "--pool boats: the work pool has the type 'kubernetes'"),
        (["--limit", "0"], "--limit 0: give a number of at least 1"),
        (["--health-port", "0"], "--health-port 0: give a port from 1 to 65535"),
    ],
)
def test_mistakes_are_one_sentence(stack: Stack, monkeypatch, capsys, options, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    with stack.prefect.use_here(), get_client(sync_client=True) as client:
        if "boats" in options:
            client.create_work_pool(WorkPoolCreate(name="boats", type="kubernetes"))
        from cvat_flows.flows.cli import main

        assert main(["worker", *options]) == 2
        if "boats" in options:
            client.delete_work_pool("boats")
    assert message in capsys.readouterr().err


def test_a_run_finishes_before_the_worker_stops(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(FLOW)
    go = tmp_path / "go"
    prefect = stack.prefect
    with prefect.use_here(), get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="drained", type="process"))
        flow_id = client.create_flow_from_name("wait-for-file")
        deployment = client.create_deployment(
            flow_id=flow_id,
            name="wait",
            work_pool_name="drained",
            path=str(tmp_path),
            entrypoint="waiting.py:wait_for_file",
        )
        number, port = len(prefect.processes), free_port()
        worker = prefect.start(
            [
                *(*COMMAND, "worker", "--pool", "drained", "--gpus", "1"),
                *("--health-port", str(port)),
            ],
            CUDA_VISIBLE_DEVICES="3,7",
            CVAT_FLOWS_GPU_TAG="gpu:north",
        )
        first, second = (
            client.create_flow_run_from_deployment(deployment, parameters={"path": str(go)})
            for _ in range(2)
        )
        seen = Path(f"{go}.seen")
        describe = lambda: prefect.log_of(number)  # noqa: E731
        wait_until(seen.exists, what="a run has begun", describe=describe)
        wait_until(seen.read_text, what="it has written what it sees")
        assert seen.read_text() == "gpu:north-7 7"
        os.kill(worker.pid, signal.SIGINT)
        wait_until(
            lambda: "no new runs" in prefect.log_of(number), what="it says so", describe=describe
        )
        third = client.create_flow_run_from_deployment(deployment, parameters={"path": str(go)})
        # It is healthy while it waits for its runs.
        assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=60).status_code == 200
        go.touch()
        assert worker.wait(120) == 0, prefect.log_of(number)
        states = [client.read_flow_run(run.id).state.type for run in (first, second, third)]
    assert StateType.COMPLETED in states[:2]
    assert set(states[:2]) <= {StateType.COMPLETED, StateType.SCHEDULED}
    assert states[2] == StateType.SCHEDULED
    log = prefect.log_of(number)
    assert "gpu-7: pool drained, tag gpu:north-7" in log
    assert "cvat-flows setup --gpus north-7=1" in log
