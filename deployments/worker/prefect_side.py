"""What the Prefect server must have for the workers of a machine."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from cvat_flows.deployments.setup.work_pools import POOL_TYPE
from cvat_flows.deployments.worker.plan import WorkerPlan
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.tasks.steps import GPU


def check_pool(client: SyncPrefectClient, pool: str) -> None:
    """Check that the work pool exists and starts processes. Raises UsageError."""
    try:
        kind = client.read_work_pool(pool).type
    except ObjectNotFound:
        raise UsageError(
            f"--pool {pool}: there is no such work pool; run `cvat-flows setup`, or name another"
        ) from None
    if kind != POOL_TYPE:
        raise UsageError(
            f"--pool {pool}: the work pool has the type {kind!r}, but these workers start runs as "
            f"processes of this machine: use a pool of the type {POOL_TYPE!r}"
        )


def missing_limits(client: SyncPrefectClient, plans: Sequence[WorkerPlan]) -> list[str]:
    """Return the names for `cvat-flows setup --gpus` of the workers whose tags have no limit."""
    missing = []
    for tag in (plan.tag for plan in plans if plan.tag is not None):
        try:
            client.read_global_concurrency_limit_by_name(f"tag:{tag}")
        except ObjectNotFound:
            missing.append(f"{tag.removeprefix(f'{GPU}:')}=1")
    return missing
