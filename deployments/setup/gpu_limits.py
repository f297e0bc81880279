"""Plan the concurrency limits on the GPU tags."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from prefect.exceptions import ObjectNotFound

from cvat_flows.deployments.setup.changes import Change, SetupError
from cvat_flows.tasks.steps import GPU

GPUS_VARIABLE = "CVAT_FLOWS_GPUS"


def parse_gpus(texts: list[str]) -> dict[str, int]:
    """Read `--gpus` as numbers of GPUs by tag. Raises SetupError.

    CVAT_FLOWS_GPUS holds several values in one text.

    >>> parse_gpus(["2"])
    {'gpu': 2}
    >>> parse_gpus(["north=1 south=4"])
    {'gpu:north': 1, 'gpu:south': 4}
    """
    gpus = {}
    for text in " ".join(texts).split():
        host, _, number = text.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise SetupError(f"--gpus {text}: give a number of at least 1, or HOST=NUMBER")
        gpus[f"{GPU}:{host}" if host else GPU] = int(number)
    return gpus


def plan_gpu_limits(client: SyncPrefectClient, gpus: Mapping[str, int]) -> list[Change]:
    """Plan a limit for each tag in `gpus`, or a limit of 1 on tag `gpu` if it is empty.

    Existing limits change only if they are in `gpus`.
    """
    return [
        _plan_limit(client, tag, number, change=tag in gpus)
        for tag, number in (gpus or {GPU: 1}).items()
    ]


def _plan_limit(client: SyncPrefectClient, tag: str, number: int, *, change: bool) -> Change:
    name = f"tag:{tag}"
    what = f"limit on tag {tag!r}"
    try:
        old = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        return Change(
            verb="create",
            what=what,
            detail=f"{number} at once",
            apply=partial(
                client.create_global_concurrency_limit,
                GlobalConcurrencyLimitCreate(name=name, limit=number),
            ),
        )
    if not change or (old.active and old.limit == number):
        return Change(verb="ok", what=what, detail=f"{old.limit} at once")
    return Change(
        verb="update",
        what=what,
        detail=f"{old.limit} -> {number}",
        apply=partial(
            client.update_global_concurrency_limit,
            name,
            GlobalConcurrencyLimitUpdate(limit=number, active=True),
        ),
    )
