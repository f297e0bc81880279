"""Is the Prefect server set up, and is somebody there to work for it?"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import prefect
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    TaskRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from cvat_flows.deployments.doctor import Verdict, failure, ok, warning
from cvat_flows.deployments.doctor.cvat import clock_verdict
from cvat_flows.deployments.doctor.machine import disk_verdict
from cvat_flows.deployments.setup.deployment_file import FILE, WantedDeployment, read_deployments
from cvat_flows.deployments.setup.deployments import OURS, Pair, read_deployment

LATE = timedelta(minutes=15)
"""A run that nobody has begun for so long has no worker, or too few."""
SOON = timedelta(minutes=2)
"""The scheduler looks at all schedules once a minute."""
MEMORY_LEASES = "lease_storage.memory"
BATCHES = {"task_run_recorder": (100, "task runs"), "event_persister": (500, "events")}
"""Records that a service of the server should write in one transaction, and of what."""
SETUP = "run `cvat-flows setup`"


def check_server(client: SyncPrefectClient) -> Iterator[Verdict]:
    """Version, clock, database and lease storage."""
    url = str(get_current_settings().api.url)
    version = client.api_version()
    if version == prefect.__version__:
        yield ok("Prefect", f"{version} at {url}")
    else:
        yield warning(
            "Prefect",
            f"the server at {url} has {version}, this machine {prefect.__version__}",
            "have the same version on all machines",
        )
    answer = client.request("GET", "/admin/version")
    yield clock_verdict("Prefect clock", answer.headers.get("Date"), time.time())
    everything: dict[str, Any] = client.request("GET", "/admin/settings").json()
    settings = everything["server"]
    yield from _database(settings, Path(everything["home"]), on_this_machine=_is_here(url))
    leases = str(settings["concurrency"]["lease_storage"])
    if leases.endswith(MEMORY_LEASES):
        yield warning(
            "lease storage",
            "in the server's memory: a slot that is held while the server restarts stays taken",
            "start the server with PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE="
            "prefect.server.concurrency.lease_storage.filesystem (or prefect_redis.lease_storage)",
        )
    else:
        yield ok("lease storage", leases)
    for service, (batch, what) in BATCHES.items():
        if int(settings["services"][service]["batch_size"]) < batch:
            name = f"PREFECT_SERVER_SERVICES_{service.upper()}"
            yield warning(
                what,
                "the server writes them a few at a time: on SQLite a wait for a GPU slot then "
                "takes a second or more",
                f"start it with {name}_BATCH_SIZE={batch} and {name}_READ_BATCH_SIZE=100, as "
                "prefect-server.env has it",
            )


def check_schedules(client: SyncPrefectClient, file: Path = FILE) -> Iterator[Verdict]:
    """Deployments, and whether the server makes the runs of their schedules."""
    for wanted, deployment in _deployments(client, file):
        if deployment is None:
            yield failure("deployment", f"{wanted.full_name!r} is missing", SETUP)
        else:
            yield _schedule(client, wanted, deployment)


def check_workers(client: SyncPrefectClient, file: Path = FILE) -> Iterator[Verdict]:
    """The workers of the deployments' pools, and runs that wait for one."""
    pools = set()
    for wanted, deployment in _deployments(client, file):
        if deployment is not None:
            pools.add(str(deployment.work_pool_name))
            yield from _late(client, wanted, deployment)
    for pool in sorted(pools):
        yield _workers(client, pool)


def check_limits(client: SyncPrefectClient) -> Iterator[Verdict]:
    """Limits on the GPU tags, and slots that nobody seems to hold."""
    limits = [
        limit
        for limit in client.read_global_concurrency_limits(limit=200)
        if limit.name == "tag:gpu" or limit.name.startswith("tag:gpu:")
    ]
    if not limits:
        yield warning("GPU limit", "none: any number of runs detect at once", SETUP)
    for limit in limits:
        tag = limit.name.removeprefix("tag:")
        held = limit.active_slots
        if not limit.active:
            yield warning("GPU limit", f"{tag}: switched off", "cvat-flows setup --gpus NUMBER")
            continue
        working = _detecting(client, tag)
        if held > working:
            yield warning(
                "GPU limit",
                f"{tag}: {held} of {limit.limit} slots are taken, {working} runs detect",
                "a crashed run's slot comes back by itself within minutes; if it does not: "
                f"prefect gcl update {limit.name} --active-slots {working}",
            )
        else:
            yield ok("GPU limit", f"{tag}: {held} of {limit.limit} slots are taken")


def check_automations(client: SyncPrefectClient) -> Iterator[Verdict]:
    """Our automations, and whether they are switched on."""
    ours = [one for one in client.read_automations() if one.name.startswith(OURS)]
    names = {one.name for one in ours}
    for part, missing in (
        ("worker died", "dead runs stay Running"),
        ("failed runs", "nobody is told about failed runs"),
    ):
        if not any(part in name for name in names):
            advice = SETUP + (" --notify TYPE/NAME" if part == "failed runs" else "")
            yield warning("automation", f"none about {part}: {missing}", advice)
    for one in ours:
        if one.enabled:
            yield ok("automation", one.name.removeprefix(OURS))
        else:
            yield warning("automation", f"{one.name} is switched off", "switch it on in the UI")


def _deployments(client: SyncPrefectClient, file: Path) -> Iterator[Pair]:
    for wanted in read_deployments(file):
        yield wanted, read_deployment(client, wanted)


def _database(settings: dict[str, Any], home: Path, *, on_this_machine: bool) -> Iterator[Verdict]:
    """The database and, if it is a file of this machine, the disk that it is on."""
    if "postgresql" in str(settings["database"].get("driver")):
        yield ok("database", "PostgreSQL")
    elif on_this_machine and (home / "prefect.db").exists():
        yield ok("database", "SQLite: good for one machine and a few runs at once")
        keep_less = "make room, or have Prefect keep runs for a shorter time (docs/operations.md)"
        yield disk_verdict("database folder", home, keep_less)
    else:
        # The server does not show the address that it was given: passwords are part of it.
        yield ok("database", "cannot be seen from here, nor the disk that it is on")


def _is_here(url: str) -> bool:
    """Whether the server with this address is on this machine."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()}
    return urlsplit(url).hostname in names


def _schedule(
    client: SyncPrefectClient, wanted: WantedDeployment, deployment: DeploymentResponse
) -> Verdict:
    if deployment.paused:
        return warning("deployment", f"{wanted.full_name!r} is paused", "resume it in the UI")
    active = [one for one in deployment.schedules if one.active]
    if wanted.entry.get("schedules") and not active:
        return warning(
            "deployment", f"the schedule of {wanted.full_name!r} is paused", "resume it in the UI"
        )
    if not active:
        return ok("deployment", wanted.full_name)
    runs = client.read_flow_runs(
        deployment_filter=_only(deployment),
        flow_run_filter=_in_states(StateType.SCHEDULED),
        limit=200,
    )
    coming = [run.next_scheduled_start_time for run in runs if run.auto_scheduled]
    times = [one for one in coming if one is not None]
    # Not the deployment's own date: every poll of a worker changes that.
    changed = max((one.updated for one in active if one.updated), default=None)
    if not times and changed and datetime.now(UTC) - changed < SOON:
        return warning(
            "deployment",
            f"{wanted.full_name!r} was made or changed just now, and the server has made no run "
            "of its schedule yet",
            "look again in two minutes",
        )
    if not times:
        return failure(
            "deployment",
            f"{wanted.full_name!r} has a schedule, but the server has made no run of it",
            "are the server's services up (`prefect server services start`)? Look at their log, "
            "and at the version of SQLAlchemy (below 2.1)",
        )
    return ok("deployment", f"{wanted.full_name}, next at {min(times):%Y-%m-%d %H:%M %Z}")


def _late(
    client: SyncPrefectClient, wanted: WantedDeployment, deployment: DeploymentResponse
) -> Iterator[Verdict]:
    runs = client.read_flow_runs(
        deployment_filter=_only(deployment),
        flow_run_filter=_in_states(StateType.SCHEDULED, StateType.PENDING),
        limit=200,
    )
    before = datetime.now(UTC) - LATE
    late = [
        run
        for run in runs
        if (run.next_scheduled_start_time or run.expected_start_time or before) < before
    ]
    if late:
        yield warning(
            "runs",
            f"{len(late)} of {wanted.full_name} wait for more than {LATE.seconds // 60} minutes",
            "start more workers, or raise the limit of the work queue",
        )


def _workers(client: SyncPrefectClient, pool: str) -> Verdict:
    try:
        workers = client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return failure("work pool", f"{pool!r} is missing", SETUP)
    online = [worker.name for worker in workers if str(worker.status) in _ONLINE]
    if not online:
        return failure(
            "work pool", f"{pool!r} has no worker", f"prefect worker start --pool {pool}"
        )
    if client.read_work_pool(pool).is_paused:
        return warning("work pool", f"{pool!r} is paused", "resume it in the UI")
    return ok("work pool", f"{pool}: {len(online)} workers ({', '.join(sorted(online)[:5])})")


_ONLINE: Sequence[str] = ("ONLINE", "WorkerStatus.ONLINE")


def _detecting(client: SyncPrefectClient, tag: str) -> int:
    runs = client.read_task_runs(
        task_run_filter=TaskRunFilter(
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING])),
            tags=TaskRunFilterTags(all_=[tag]),
        ),
        limit=200,
    )
    return len(runs)


def _only(deployment: DeploymentResponse) -> DeploymentFilter:
    return DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))


def _in_states(*types: StateType) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))
