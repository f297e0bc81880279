"""Read the deployments of a file, and their runs, from the Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse

from cvat_flows.deployments.setup.deployment_file import read_deployments
from cvat_flows.deployments.setup.deployments import Pair, read_deployment

RUN_SETUP = "run `cvat-flows setup`"


def read_deployed(client: SyncPrefectClient, file: Path) -> Iterator[Pair]:
    """Yield each deployment of the file with what the server has under its name."""
    for wanted in read_deployments(file):
        yield wanted, read_deployment(client, wanted)


def read_runs(
    client: SyncPrefectClient, deployment: DeploymentResponse, *states: StateType
) -> list[FlowRun]:
    """Return up to 200 runs of a deployment in one of these states."""
    return client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
        ),
        limit=200,
    )
