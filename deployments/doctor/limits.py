"""Check the limits on the GPU tags, and look for slots that no run uses."""

from __future__ import annotations

from collections.abc import Iterator

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    TaskRunFilterTags,
)
from prefect.client.schemas.objects import StateType

from cvat_flows.deployments.doctor.deployed import RUN_SETUP
from cvat_flows.deployments.doctor.verdict import Verdict, ok, warning
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.steps import GPU


def check_limits(client: SyncPrefectClient) -> Iterator[Verdict]:
    """Check the limit on tag `gpu` and on the tags `gpu:NAME` of single machines."""
    limits = [
        limit
        for limit in client.read_global_concurrency_limits(limit=200)
        if limit.name == f"tag:{GPU}" or limit.name.startswith(f"tag:{GPU}:")
    ]
    if not limits:
        yield warning("GPU limit", "there is none: any number of runs detect at once", RUN_SETUP)
    for limit in limits:
        tag = limit.name.removeprefix("tag:")
        slots = f"{tag}: {limit.active_slots} of {limit.limit} slots are in use"
        if not limit.active:
            yield warning(
                "GPU limit", f"{tag}: switched off", "run `cvat-flows setup --gpus NUMBER`"
            )
            continue
        detecting = _count_detect_runs(client, tag)
        if limit.active_slots > detecting:
            yield warning(
                "GPU limit",
                f"{slots}, but only {counted(detecting, 'run')} detecting",
                "the slot of a crashed run is released within minutes; if it is not, run "
                f"`prefect gcl update {limit.name} --active-slots {detecting}`",
            )
        else:
            yield ok("GPU limit", slots)


def _count_detect_runs(client: SyncPrefectClient, tag: str) -> int:
    runs = client.read_task_runs(
        task_run_filter=TaskRunFilter(
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING])),
            tags=TaskRunFilterTags(all_=[tag]),
        ),
        limit=200,
    )
    return len(runs)
