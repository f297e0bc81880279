"""Work pools, queues, limits and the CVAT server block of a Prefect server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    WorkPoolCreate,
)
from prefect.client.schemas.objects import WorkQueue
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from cvat_flows.deployments.setup.changes import Change, SetupError
from cvat_flows.tasks.cvat.connection import ServerSettings
from cvat_flows.tasks.cvat.server_block import DEFAULT_BLOCK, CVATServer
from cvat_flows.tasks.steps import GPU

GPUS_VARIABLE = "CVAT_FLOWS_GPUS"
POOL_TYPE = "process"
RUNS_PER_GPU = 2
"""While one run detects, the next may fetch and the last upload."""


def plan_pools(
    client: SyncPrefectClient,
    queues: Mapping[str, set[str]],
    *,
    limits: Mapping[str, int],
    change_limits: bool = False,
) -> list[Change]:
    """Work pools and their queues. A pool that is there keeps its type and its settings.

    `queues` are queue names by pool; `limits` are runs at once by `pool/queue`, for new queues and,
    with `change_limits`, for those that are there.
    """
    changes = []
    for pool in sorted(queues):
        exists = _pool_exists(client, pool)
        if exists:
            changes.append(Change(verb="ok", what=f"work pool {pool!r}"))
        else:
            changes.append(
                Change(
                    verb="create",
                    what=f"work pool {pool!r}",
                    detail=f"of type {POOL_TYPE}",
                    apply=partial(
                        client.create_work_pool, WorkPoolCreate(name=pool, type=POOL_TYPE)
                    ),
                )
            )
        known = {q.name: q for q in client.read_work_queues(work_pool_name=pool)} if exists else {}
        for queue in sorted(queues[pool]):
            limit = limits.get(f"{pool}/{queue}")
            old = known.get(queue)
            if old is not None and old.concurrency_limit is not None and not change_limits:
                limit = None
            change = _plan_queue(client, pool, queue, old, limit)
            changes += [change] if change else []
    return changes


def plan_gpu_limits(client: SyncPrefectClient, gpus: Mapping[str, int]) -> list[Change]:
    """Limits of the tags that detection runs have.

    `gpus` are numbers of GPUs by tag, as asked for; without any, the tag `gpu` gets a limit of one
    if it has none. A limit that is there changes only if that was asked for.
    """
    changes = []
    for tag, wanted in (gpus or {GPU: 1}).items():
        name = f"tag:{tag}"
        what = f"limit on tag {tag!r}"
        try:
            limit = client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            changes.append(
                Change(
                    verb="create",
                    what=what,
                    detail=f"{wanted} at once",
                    apply=partial(
                        client.create_global_concurrency_limit,
                        GlobalConcurrencyLimitCreate(name=name, limit=wanted),
                    ),
                )
            )
            continue
        if tag in gpus and (limit.limit != wanted or not limit.active):
            changes.append(
                Change(
                    verb="update",
                    what=what,
                    detail=f"{limit.limit} -> {wanted}",
                    apply=partial(
                        client.update_global_concurrency_limit,
                        name,
                        GlobalConcurrencyLimitUpdate(limit=wanted, active=True),
                    ),
                )
            )
        else:
            changes.append(Change(verb="ok", what=what, detail=f"{limit.limit} at once"))
    return changes


def plan_block(
    client: SyncPrefectClient,
    settings: ServerSettings | None,
    *,
    name: str = DEFAULT_BLOCK,
    replace: bool = False,
) -> list[Change]:
    """The CVATServer block `name`. One that is there changes only if `replace` says so."""
    what = f"CVATServer block {name!r}"
    changes = [_plan_block_type(client)]
    try:
        document = client.read_block_document_by_name(
            name, CVATServer.get_block_type_slug(), include_secrets=False
        )
    except ObjectNotFound:
        document = None
    if settings is None:
        detail = "" if document else "no CVAT server is named: workers use their own environment"
        changes.append(Change(verb="ok" if document else "note", what=what, detail=detail))
    elif document is None or replace:
        changes.append(
            Change(
                verb="update" if document else "create",
                what=what,
                detail=f"{settings.host} as {settings.username or 'the owner of the access token'}",
                apply=partial(_save, settings, name, replace),
            )
        )
    else:
        host = document.data.get("host")
        same = host == settings.host
        changes.append(
            Change(
                verb="ok" if same else "note",
                what=what,
                detail=str(host) + ("" if same else " is kept (--replace-block changes it)"),
            )
        )
    return changes


def block_of(settings: ServerSettings) -> CVATServer:
    """The block that stands for the settings."""
    return CVATServer(
        host=settings.host,
        access_token=SecretStr(settings.access_token) if settings.access_token else None,
        username=settings.username,
        password=SecretStr(settings.password) if settings.password else None,
        organization=settings.organization,
        verify_ssl=settings.verify_ssl,
    )


def _save(settings: ServerSettings, name: str, overwrite: bool) -> None:
    block_of(settings).save(name, overwrite=overwrite, _sync=True)  # type: ignore[call-arg]


def parse_gpus(texts: list[str]) -> dict[str, int]:
    """`2` is two GPUs under tag `gpu`; `host=1` is one under tag `gpu:host`. Raises SetupError.

    A variable holds several of them in one text.
    """
    gpus = {}
    for text in " ".join(texts).split():
        host, _, number = text.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise SetupError(f"--gpus {text}: give a number, or a machine's as NAME=NUMBER")
        gpus[f"{GPU}:{host}" if host else GPU] = int(number)
    return gpus


def _pool_exists(client: SyncPrefectClient, pool: str) -> bool:
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        return False
    return True


def _plan_queue(
    client: SyncPrefectClient, pool: str, queue: str, known: WorkQueue | None, limit: int | None
) -> Change | None:
    what = f"work queue {queue!r} of {pool!r}"
    if known is None:
        if queue == "default" and limit is None:
            return None  # it comes with the pool
        return Change(
            verb="create",
            what=what,
            detail=f"{limit} runs at once" if limit else "",
            apply=partial(_set_queue, client, pool, queue, limit),
        )
    if limit is None or known.concurrency_limit == limit:
        detail = f"{known.concurrency_limit} runs at once" if known.concurrency_limit else ""
        return Change(verb="ok", what=what, detail=detail)
    return Change(
        verb="update",
        what=what,
        detail=f"runs at once: {known.concurrency_limit} -> {limit}",
        apply=partial(_set_queue, client, pool, queue, limit),
    )


def _set_queue(client: SyncPrefectClient, pool: str, queue: str, limit: int | None) -> None:
    known = {one.name: one for one in client.read_work_queues(work_pool_name=pool)}
    if queue in known:
        client.update_work_queue(known[queue].id, concurrency_limit=limit)
    else:
        made = client.create_work_queue(queue, work_pool_name=pool)
        client.update_work_queue(made.id, concurrency_limit=limit)


def _plan_block_type(client: SyncPrefectClient) -> Change:
    what = "block type 'CVAT server'"
    try:
        client.read_block_type_by_slug(CVATServer.get_block_type_slug())
        client.read_block_schema_by_checksum(CVATServer._calculate_schema_checksum())
    except ObjectNotFound:
        return Change(verb="create", what=what, apply=_register_block_type)
    return Change(verb="ok", what=what)


def _register_block_type() -> None:
    CVATServer.register_type_and_schema(_sync=True)  # type: ignore[call-arg]
