"""Plan the work pools and their queues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import WorkQueue
from prefect.exceptions import ObjectNotFound

from cvat_flows.deployments.setup.changes import Change
from cvat_flows.deployments.setup.deployment_file import DEFAULT_QUEUE, WantedDeployment

POOL_TYPE = "process"
RUNS_PER_GPU = 2
"""While one run detects, the next one can fetch and the previous one upload."""


def plan_pools(
    client: SyncPrefectClient, deployments: Iterable[WantedDeployment], gpus: Mapping[str, int]
) -> list[Change]:
    """Plan the pools and queues of the deployments. Existing pools keep their type and settings.

    `gpus` is the number of GPUs by tag, as requested. Existing queues keep their limits if it is
    empty.
    """
    queues: dict[str, set[str]] = {}
    limits: dict[tuple[str, str], int] = {}
    for wanted in deployments:
        queues.setdefault(wanted.pool, set()).add(wanted.queue)
        if wanted.flow.name == "annotate-task":
            # Each of its runs loads a model.
            limits[wanted.pool, wanted.queue] = RUNS_PER_GPU * (sum(gpus.values()) or 1)
    changes = []
    for pool in sorted(queues):
        exists = _pool_exists(client, pool)
        changes.append(_plan_pool(client, pool, exists=exists))
        existing = client.read_work_queues(work_pool_name=pool) if exists else []
        by_name = {queue.name: queue for queue in existing}
        for name in sorted(queues[pool]):
            old = by_name.get(name)
            limit = limits.get((pool, name))
            if old is not None and old.concurrency_limit is not None and not gpus:
                limit = None
            change = _plan_queue(client, pool, name, old, limit)
            changes += [change] if change else []
    return changes


def _pool_exists(client: SyncPrefectClient, pool: str) -> bool:
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        return False
    return True


def _plan_pool(client: SyncPrefectClient, pool: str, *, exists: bool) -> Change:
    what = f"work pool {pool!r}"
    if exists:
        return Change(verb="ok", what=what)
    return Change(
        verb="create",
        what=what,
        detail=f"of type {POOL_TYPE}",
        apply=partial(client.create_work_pool, WorkPoolCreate(name=pool, type=POOL_TYPE)),
    )


def _plan_queue(
    client: SyncPrefectClient, pool: str, name: str, old: WorkQueue | None, limit: int | None
) -> Change | None:
    what = f"work queue {name!r} of {pool!r}"
    if old is None:
        if name == DEFAULT_QUEUE and limit is None:
            return None  # Prefect creates it with the pool
        return Change(
            verb="create",
            what=what,
            detail=f"{limit} runs at once" if limit else "",
            apply=partial(_set_queue, client, pool, name, limit),
        )
    if limit is None or old.concurrency_limit == limit:
        detail = f"{old.concurrency_limit} runs at once" if old.concurrency_limit else ""
        return Change(verb="ok", what=what, detail=detail)
    return Change(
        verb="update",
        what=what,
        detail=f"runs at once: {old.concurrency_limit} -> {limit}",
        apply=partial(_set_queue, client, pool, name, limit),
    )


def _set_queue(client: SyncPrefectClient, pool: str, name: str, limit: int | None) -> None:
    existing = {queue.name: queue for queue in client.read_work_queues(work_pool_name=pool)}
    queue = existing.get(name) or client.create_work_queue(name, work_pool_name=pool)
    client.update_work_queue(queue.id, concurrency_limit=limit)
