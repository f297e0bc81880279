"""Plan the deployments with their schedules and triggers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import Automation
from prefect.exceptions import ObjectNotFound

from cvat_flows.deployments.setup.automations import same_automation
from cvat_flows.deployments.setup.changes import Change, Verb
from cvat_flows.deployments.setup.deployment_diff import (
    deploy_entry,
    describe_schedule,
    diff_deployment,
    keep_server_choices,
)
from cvat_flows.deployments.setup.deployment_file import (
    DEFAULT_QUEUE,
    FILE,
    WantedDeployment,
    read_deployments,
)
from cvat_flows.deployments.setup.nightly import Choices
from cvat_flows.deployments.setup.prefect_deploy import DeployBatch

Pair = tuple[WantedDeployment, DeploymentResponse | None]
"""A deployment as it is wanted, and as it is on the server."""


def read_deployment(
    client: SyncPrefectClient, wanted: WantedDeployment
) -> DeploymentResponse | None:
    """Read the deployment of that name from the server. None if it is missing."""
    try:
        return client.read_deployment_by_name(wanted.full_name)
    except ObjectNotFound:
        return None


def wanted_deployments(
    client: SyncPrefectClient,
    file: Path | None,
    *,
    gpu_pool: str | None,
    choices: Choices | None = None,
) -> list[Pair]:
    """Decide how each deployment should be. Raises SetupError.

    Without `file`, existing deployments keep what people may choose, and missing ones follow the
    shipped file. Without `gpu_pool`, deployments that use the GPU stay in their work pool.
    """
    pairs = [(wanted, read_deployment(client, wanted)) for wanted in read_deployments(file or FILE)]
    gpu_pools = [_gpu_pool(on_server) for wanted, on_server in pairs if wanted.uses_gpu]
    first_gpu_pool = next(filter(None, gpu_pools), None)
    result: list[Pair] = []
    for wanted, on_server in pairs:
        pool = gpu_pool or (_gpu_pool(on_server) if on_server else first_gpu_pool)
        if wanted.uses_gpu and pool:
            if pool != wanted.pool:  # in the file's own pool, it keeps the file's queue
                wanted = wanted.move_to(pool, DEFAULT_QUEUE)
        elif on_server and on_server.work_pool_name and file is None:
            queue = on_server.work_queue_name or DEFAULT_QUEUE
            wanted = wanted.move_to(on_server.work_pool_name, queue)
        if on_server and file is None:
            wanted = keep_server_choices(wanted, on_server)
        if choices:
            wanted = choices.apply(wanted, on_server)
        result.append((wanted, on_server))
    return result


def _gpu_pool(on_server: DeploymentResponse | None) -> str | None:
    """The work pool, if an earlier --gpu-pool put the deployment there."""
    if on_server is None or (on_server.work_queue_name or DEFAULT_QUEUE) != DEFAULT_QUEUE:
        return None
    return on_server.work_pool_name


def plan_deployments(client: SyncPrefectClient, pairs: Sequence[Pair]) -> list[Change]:
    """Plan the deployments that are missing or differ, with their triggers."""
    changes = []
    batch = DeployBatch()
    for wanted, on_server in pairs:
        triggers: Sequence[Automation] = ()
        verb: Verb
        if on_server is None:
            verb, reasons = "create", [_describe(wanted)]
        else:
            triggers = client.read_resource_related_automations(
                f"prefect.deployment.{on_server.id}"
            )
            reasons = diff_deployment(wanted, on_server)
            reasons += _diff_triggers(wanted, on_server, triggers)
            verb = "update" if reasons else "note" if wanted.kept else "ok"
        kept = f"kept as on the server (--file changes it): {'; '.join(wanted.kept)}"
        changes.append(
            Change(
                verb=verb,
                what=f"deployment {wanted.full_name!r}",
                detail="; ".join([*reasons, kept] if wanted.kept else reasons),
                apply=batch.add(deploy_entry(wanted, on_server, triggers)) if reasons else None,
            )
        )
    return changes


def _diff_triggers(
    wanted: WantedDeployment, on_server: DeploymentResponse, existing: Sequence[Automation]
) -> list[str]:
    by_name = {automation.name: automation for automation in existing}
    differences = []
    for automation in wanted.trigger_automations(on_server.id):
        old = by_name.get(automation.name)
        if old is None:
            differences.append(f"trigger {automation.name!r} is missing")
        elif not same_automation(old, automation.model_copy(update={"enabled": old.enabled})):
            differences.append(f"trigger {automation.name!r} differs")
    return differences


def _describe(wanted: WantedDeployment) -> str:
    parts = [f"pool {wanted.pool!r}, queue {wanted.queue!r}"]
    parts += [describe_schedule(schedule) for schedule in wanted.entry.get("schedules", [])]
    parts += [
        f"on event {', '.join(trigger['expect'])}" if "expect" in trigger else "on several events"
        for trigger in wanted.entry.get("triggers", [])
    ]
    return ", ".join(parts)
