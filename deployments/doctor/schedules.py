"""Check that the deployments exist and that the server schedules their runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse

from cvat_flows.deployments.doctor.deployed import RUN_SETUP, read_deployed, read_runs
from cvat_flows.deployments.doctor.verdict import Verdict, failure, ok, warning
from cvat_flows.deployments.setup.deployment_file import WantedDeployment

SCHEDULER_DELAY = timedelta(minutes=2)
"""The server's scheduler visits every schedule about once a minute."""


def check_schedules(client: SyncPrefectClient, file: Path) -> Iterator[Verdict]:
    """Check each deployment of the file and its scheduled runs."""
    for wanted, deployment in read_deployed(client, file):
        if deployment is None:
            yield failure("deployment", f"{wanted.full_name!r} is missing", RUN_SETUP)
        else:
            yield check_schedule(client, wanted, deployment)


def check_schedule(
    client: SyncPrefectClient, wanted: WantedDeployment, deployment: DeploymentResponse
) -> Verdict:
    """Check that a deployment is active and, if it has a schedule, that a run is scheduled."""
    name = wanted.full_name
    if deployment.paused:
        return warning("deployment", f"{name!r} is paused", "resume it in the UI")
    active = [schedule for schedule in deployment.schedules if schedule.active]
    if wanted.entry.get("schedules") and not active:
        return warning("deployment", f"the schedule of {name!r} is paused", "resume it in the UI")
    if not active:
        return ok("deployment", name)
    runs = [r for r in read_runs(client, deployment, StateType.SCHEDULED) if r.auto_scheduled]
    starts = [run.next_scheduled_start_time for run in runs if run.next_scheduled_start_time]
    if starts:
        return ok("deployment", f"{name}, next run at {min(starts):%Y-%m-%d %H:%M %Z}")
    # The deployment's own `updated` would not do: every poll of a worker changes it.
    changed = max((schedule.updated for schedule in active if schedule.updated), default=None)
    if changed and datetime.now(UTC) - changed < SCHEDULER_DELAY:
        return warning(
            "deployment",
            f"{name!r} was created or changed just now: no run is scheduled yet",
            "run doctor again in two minutes",
        )
    return failure(
        "deployment",
        f"{name!r} has a schedule, but the server has scheduled no run",
        "check that the server's background services are running (`prefect server services "
        "start`), and see their log",
    )
