from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from cvat_flows.deployments.webhook.sweep_runs import PrefectSweepRuns
from cvat_flows.flows.prefect_flows import annotate_new_tasks_flow
from cvat_flows.flows.prefect_server import PrefectUnavailable
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters


class Deployment:
    """A deployment of the sweep without a worker."""

    def __init__(self, client: SyncPrefectClient, **parameters: Any) -> None:
        self._client = client
        flow_id = client.create_flow_from_name(annotate_new_tasks_flow.name)
        name = str(uuid4())
        self.full_name = f"{annotate_new_tasks_flow.name}/{name}"
        self.id = client.create_deployment(flow_id, name, parameters=parameters)

    def change(self, **parameters: Any) -> None:
        self._client.request(
            "PATCH",
            "/deployments/{id}",
            path_params={"id": self.id},
            json={"parameters": parameters},
        )

    def runs(self) -> list[FlowRun]:
        deployment = FlowRunFilterDeploymentId(any_=[self.id])
        return self._client.read_flow_runs(flow_run_filter=FlowRunFilter(deployment_id=deployment))


@pytest.fixture
def prefect(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def start(deployment: str, task_ids: list[int], key: str) -> str:
    return asyncio.run(PrefectSweepRuns(deployment).start(task_ids, key))


def test_a_run_has_the_parameters_of_the_deployment(prefect: SyncPrefectClient) -> None:
    own = {"run_in": "deployment", "rules": [{"projects": ["cars"]}], "limit": 10}
    deployment = Deployment(prefect, **own)
    name = start(deployment.full_name, [7, 5], "a key")
    (run,) = deployment.runs()
    assert run.name == name
    assert run.tags == ["webhook"]
    assert run.parameters == {**own, "task_ids": [7, 5], "limit": None}
    assert AnnotateNewTasksParameters.model_validate(run.parameters)
    # The same key again is the same run, and changed parameters count at once.
    deployment.change(run_in="process")
    assert start(deployment.full_name, [7, 5], "a key") == name
    start(deployment.full_name, [8], "another key")
    latest = {run.parameters.get("run_in") for run in deployment.runs()}
    assert latest == {"deployment", "process"}
    assert len(deployment.runs()) == 2


def test_a_deployment_without_parameters(prefect: SyncPrefectClient) -> None:
    deployment = Deployment(prefect)
    start(deployment.full_name, [7], "key of one without")
    (run,) = deployment.runs()
    assert run.parameters == {"task_ids": [7], "limit": None}


def test_a_missing_deployment(prefect: SyncPrefectClient) -> None:
    runs = PrefectSweepRuns("annotate-new-tasks/none")
    with pytest.raises(PrefectUnavailable, match=r"no deployment 'annotate-new-tasks/none'.*setup"):
        asyncio.run(runs.check())


def test_a_server_that_does_not_answer() -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(PrefectUnavailable, match=r"does not answer \(ConnectError\)"),
    ):
        start("annotate-new-tasks/any", [1], "key")


def test_no_server_is_configured() -> None:
    with (
        temporary_settings(restore_defaults=[PREFECT_API_URL]),
        pytest.raises(PrefectUnavailable, match="set PREFECT_API_URL, or choose a profile"),
    ):
        start("annotate-new-tasks/any", [1], "key")
