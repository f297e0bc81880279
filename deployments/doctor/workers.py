"""Check that the work pools have workers and that no run is late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType, WorkerStatus
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from cvat_flows.deployments.doctor.deployed import RUN_SETUP, read_deployed, read_runs
from cvat_flows.deployments.doctor.verdict import Verdict, failure, ok, warning
from cvat_flows.tasks.model.text import counted

MAX_DELAY = timedelta(minutes=15)
"""A run that has not started this long after its scheduled time lacks a worker."""
MAX_NAMES = 5


def check_workers(client: SyncPrefectClient, file: Path) -> Iterator[Verdict]:
    """Check the work pools of the file's deployments, and look for runs that are late."""
    pools = set()
    for wanted, deployment in read_deployed(client, file):
        if deployment is not None:
            pools.add(str(deployment.work_pool_name))
            yield from _check_late_runs(client, wanted.full_name, deployment)
    for pool in sorted(pools):
        yield _check_pool(client, pool)


def _check_late_runs(
    client: SyncPrefectClient, name: str, deployment: DeploymentResponse
) -> Iterator[Verdict]:
    limit = datetime.now(UTC) - MAX_DELAY
    late = [
        run
        for run in read_runs(client, deployment, StateType.SCHEDULED, StateType.PENDING)
        if (run.next_scheduled_start_time or run.expected_start_time or limit) < limit
    ]
    if late:
        yield warning(
            "runs",
            f"{name}: {counted(len(late), 'run')} late by more than {MAX_DELAY.seconds // 60} "
            "minutes",
            "start more workers, or raise the limit of the work queue",
        )


def _check_pool(client: SyncPrefectClient, pool: str) -> Verdict:
    try:
        workers = client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return failure("work pool", f"{pool!r} is missing", RUN_SETUP)
    online = sorted(worker.name for worker in workers if worker.status == WorkerStatus.ONLINE)
    if not online:
        return failure(
            "work pool", f"{pool!r} has no worker", f"prefect worker start --pool {pool}"
        )
    if client.read_work_pool(pool).is_paused:
        return warning("work pool", f"{pool!r} is paused", "resume it in the UI")
    names = ", ".join(online[:MAX_NAMES])
    return ok("work pool", f"{pool}: {counted(len(online), 'worker')} ({names})")
