"""Read what a Prefect server has recorded about a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)

from tests.support.waiting import wait_until


def run_id_of(finished: Any) -> UUID:
    return UUID(finished.run_id)


def flow_run_of(finished: Any) -> Any:
    with get_client(sync_client=True) as prefect:
        return prefect.read_flow_run(run_id_of(finished))


def artifacts_of(finished: Any, **wanted: Any) -> list[Any]:
    """Return the artifacts of a flow run and its task runs, oldest first.

    `wanted` are attributes that they must have, for example `key=...`.
    """
    with get_client(sync_client=True) as prefect:
        found = prefect.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[run_id_of(finished)])
            )
        )
    found.sort(key=lambda artifact: artifact.created)
    return [
        one for one in found if all(getattr(one, name) == value for name, value in wanted.items())
    ]


def task_runs_of(finished: Any, until: Callable[[list[Any]], bool]) -> list[Any]:
    """Wait until the run's task runs satisfy `until`: Prefect records them with a delay."""
    runs: list[Any] = []
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[run_id_of(finished)]))
    with get_client(sync_client=True) as prefect:

        def recorded() -> bool:
            runs[:] = prefect.read_task_runs(flow_run_filter=wanted)
            return until(runs)

        wait_until(
            recorded,
            what="task runs are recorded",
            describe=lambda: [(run.name, run.state_name) for run in runs],
        )
    return runs


def log_of(finished: Any, last: str) -> list[Any]:
    """Wait until a line of the run's log contains `last`: Prefect sends lines in batches."""
    lines: list[Any] = []
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id_of(finished)]))
    with get_client(sync_client=True) as prefect:

        def sent() -> bool:
            lines[:] = prefect.read_logs(wanted)
            return any(last in line.message for line in lines)

        wait_until(
            sent, what=f"{last!r} is in the log", describe=lambda: [line.message for line in lines]
        )
    return lines
