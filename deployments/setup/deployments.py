"""Deployments with their schedules and triggers, and the automations beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from cvat_flows.deployments.setup.changes import Change, SetupError
from cvat_flows.deployments.setup.deployment_file import (
    AUTOMATIONS_FILE,
    FILE,
    WantedDeployment,
    read_deployments,
    same_automation,
    schedule_in_words,
)

OURS = "cvat-flows · "
"""What the names of our automations begin with."""
NOTIFY = "notify"
"""Stands in the file for the id of a notification block."""


_PREFECT = (sys.executable, "-m", "prefect")


Pair = tuple[WantedDeployment, DeploymentResponse | None]
"""A deployment as it is to be, and as the server has it."""


def wanted_deployments(
    client: SyncPrefectClient, file: Path | None, *, gpu_pool: str | None
) -> list[Pair]:
    """What the deployments are to be, as far as that was asked for. Raises SetupError.

    Without `file` those that are there keep what people may choose, and only those that are missing
    are as the shipped file says. Without `gpu_pool` what detects stays in the pool where it is.
    """
    pairs = [(one, read_deployment(client, one)) for one in read_deployments(file or FILE)]
    there = filter(None, (_gpu_pool(known) for one, known in pairs if one.detects))
    other_gpu_pool = next(there, None)
    found: list[Pair] = []
    for one, known in pairs:
        pool = gpu_pool or (_gpu_pool(known) if known else other_gpu_pool)
        if one.detects and pool:
            one = one.on_gpu_pool(pool)
        elif known and file is None:
            one = one.on_pool_of(known)
        found.append((one.keeping(known) if known and file is None else one, known))
    return found


def _gpu_pool(known: DeploymentResponse | None) -> str | None:
    """The pool that --gpu-pool has put a deployment in, if that is why it is where it is."""
    if known is None or (known.work_queue_name or "default") != "default":
        return None
    return known.work_pool_name


def plan_deployments(client: SyncPrefectClient, pairs: Sequence[Pair]) -> list[Change]:
    """Deployments that are missing or differ from what they are to be, and their triggers."""
    changes = []
    together = _Together()
    for one, on_server in pairs:
        what = f"deployment {one.full_name!r}"
        automations: Sequence[Automation] = ()
        if on_server is None:
            verb, reasons = "create", [_story(one)]
        else:
            resource = f"prefect.deployment.{on_server.id}"
            automations = client.read_resource_related_automations(resource)
            reasons = one.differences(on_server)
            reasons += _trigger_differences(one, on_server, automations)
            verb = "update" if reasons else "note" if one.kept else "ok"
        kept = f"kept as it is, --file changes it: {'; '.join(one.kept)}" if one.kept else ""
        changes.append(
            Change(
                verb=verb,  # type: ignore[arg-type]
                what=what,
                detail="; ".join([*reasons, kept] if kept else reasons),
                apply=together.also(one.over(on_server, automations)) if reasons else None,
            )
        )
    return changes


def read_deployment(client: SyncPrefectClient, one: WantedDeployment) -> DeploymentResponse | None:
    """The deployment as the server has it; None if it is not there."""
    try:
        return client.read_deployment_by_name(one.full_name)
    except ObjectNotFound:
        return None


class _Together:
    """Deployments that one call of `prefect deploy` makes: it takes seconds to start."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []

    def also(self, entry: dict[str, Any]) -> Callable[[], None]:
        """Add one; returns what makes them all, once."""
        self._entries.append(entry)
        return self._deploy

    def _deploy(self) -> None:
        entries, self._entries = self._entries, []
        if entries:
            deploy(entries)


def deploy(entries: list[dict[str, Any]]) -> None:
    """Have `prefect deploy` make or change deployments. Raises SetupError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(yaml.safe_dump({"name": "cvat-flows", "pull": [], "deployments": entries}))
        done = subprocess.run(
            [*_PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", str(path)],
            env={**os.environ, **_settings_in_use()},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise SetupError(f"`prefect deploy` failed: {output[-500:]}")


def plan_automations(client: SyncPrefectClient, *, notify: str | None) -> list[Change]:
    """Our automations. `notify` is a notification block as `block-type/name`.

    Raises SetupError if there is no such block.
    """
    changes = []
    block_id = _block_id(client, notify) if notify else None
    for spec in yaml.safe_load(AUTOMATIONS_FILE.read_text())["automations"]:
        what = f"automation {spec['name']!r}"
        old = next(iter(client.read_automations_by_name(spec["name"])), None)
        if _notifies(spec):
            if block_id is None and old is not None:
                changes.append(Change(verb="ok", what=what, detail="keeps its block"))
                continue
            if block_id is None:
                changes.append(
                    Change(
                        verb="note",
                        what=what,
                        detail="left out: name a block with --notify, as slack-webhook/on-call",
                    )
                )
                continue
            spec = _with_block(spec, str(block_id))
        wanted = AutomationCore.model_validate(spec)
        changes.append(_plan_automation(client, what, old, wanted))
    return changes


def _plan_automation(
    client: SyncPrefectClient, what: str, old: Automation | None, wanted: AutomationCore
) -> Change:
    if old is None:
        return Change(
            verb="create",
            what=what,
            detail=wanted.description,
            apply=lambda: client.create_automation(wanted),
        )
    # A person may have switched it off for a while.
    wanted = wanted.model_copy(update={"enabled": old.enabled})
    if same_automation(old, wanted):
        return Change(verb="ok", what=what, detail="" if old.enabled else "switched off")
    return Change(
        verb="update",
        what=what,
        detail="its trigger or its actions differ",
        apply=lambda: client.update_automation(old.id, wanted),
    )


def _trigger_differences(
    one: WantedDeployment, on_server: DeploymentResponse, automations: Sequence[Automation]
) -> list[str]:
    wanted = one.triggers(on_server.id)
    by_name = {automation.name: automation for automation in automations}
    found = []
    for automation in wanted:
        old = by_name.get(automation.name)
        if old is None:
            found.append(f"trigger {automation.name!r} is missing")
        elif not same_automation(old, automation.model_copy(update={"enabled": old.enabled})):
            found.append(f"trigger {automation.name!r} differs")
    return found


def _story(one: WantedDeployment) -> str:
    parts = [f"pool {one.pool!r}, queue {one.queue!r}"]
    parts += [schedule_in_words(schedule) for schedule in one.entry.get("schedules", [])]
    parts += [
        f"on event {', '.join(trigger['expect'])}" if "expect" in trigger else "on several events"
        for trigger in one.entry.get("triggers", [])
    ]
    return ", ".join(parts)


def _notifies(spec: dict[str, Any]) -> bool:
    return any(action.get("block_document_id") == NOTIFY for action in spec["actions"])


def _with_block(spec: dict[str, Any], block_id: str) -> dict[str, Any]:
    actions = [
        {**action, "block_document_id": block_id}
        if action.get("block_document_id") == NOTIFY
        else action
        for action in spec["actions"]
    ]
    return {**spec, "actions": actions}


def _block_id(client: SyncPrefectClient, name: str) -> Any:
    block_type, _, block_name = name.partition("/")
    try:
        return client.read_block_document_by_name(block_name, block_type).id
    except ObjectNotFound as error:
        raise SetupError(
            f"Prefect has no block {name!r}: make a notification block in the UI under Blocks "
            "and name it as block-type/name, for example slack-webhook/on-call, "
            "sendgrid-email/on-call or custom-webhook/on-call"
        ) from error


def _settings_in_use() -> dict[str, str]:
    """Settings of this process for another one: they may come from a profile or a test."""
    return get_current_settings().to_environment_variables(exclude_unset=True, include_secrets=True)
