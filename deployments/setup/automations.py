"""Plan the automations of automations.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound

from cvat_flows.deployments.setup.changes import Change, SetupError

FILE = Path(__file__).parents[1] / "automations.yaml"
BLOCK_PLACEHOLDER = "notify"
"""Stands in the file for the ID of a notification block."""

_COMPARED_FIELDS = {"description", "enabled", "trigger", "actions"}


def read_automations() -> list[dict[str, Any]]:
    """Read the shipped automations."""
    specs: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["automations"]
    return specs


def needs_block(spec: dict[str, Any]) -> bool:
    """Whether an automation of the file sends a notification."""
    return any(action.get("block_document_id") == BLOCK_PLACEHOLDER for action in spec["actions"])


def same_automation(one: AutomationCore, other: AutomationCore) -> bool:
    """Whether two automations do the same. Their IDs may differ."""
    return _comparable(one) == _comparable(other)


def _comparable(automation: AutomationCore) -> dict[str, Any]:
    values = automation.model_dump(mode="json", include=_COMPARED_FIELDS)
    trigger = values["trigger"]
    trigger.pop("id", None)
    for name in ("expect", "after", "for_each"):
        trigger[name] = sorted(trigger.get(name, []))  # sets, in any order
    return values


def plan_automations(client: SyncPrefectClient, *, notify: str | None) -> list[Change]:
    """Plan the shipped automations. Raises SetupError if the notification block is missing.

    `notify` names a notification block as `block-type/name`. Without it, an existing notification
    automation keeps its block, and none is created.
    """
    changes = []
    block_id = _find_block(client, notify) if notify else None
    for spec in read_automations():
        what = f"automation {spec['name']!r}"
        old = next(iter(client.read_automations_by_name(spec["name"])), None)
        if not needs_block(spec):
            changes.append(_plan_automation(client, what, old, spec))
        elif block_id is not None:
            changes.append(_plan_automation(client, what, old, _insert_block(spec, block_id)))
        elif old is not None:
            changes.append(Change(verb="ok", what=what, detail="keeps its notification block"))
        else:
            detail = "not created: name a block, for example --notify slack-webhook/on-call"
            changes.append(Change(verb="note", what=what, detail=detail))
    return changes


def _find_block(client: SyncPrefectClient, name: str) -> UUID:
    block_type, _, block_name = name.partition("/")
    try:
        return client.read_block_document_by_name(block_name, block_type).id
    except ObjectNotFound as error:
        raise SetupError(
            f"--notify {name}: Prefect has no such block. Create a notification block in the UI "
            "under Blocks and name it as TYPE/NAME, for example slack-webhook/on-call, "
            "sendgrid-email/on-call or custom-webhook/on-call"
        ) from error


def _insert_block(spec: dict[str, Any], block_id: UUID) -> dict[str, Any]:
    actions = [
        {**action, "block_document_id": str(block_id)}
        if action.get("block_document_id") == BLOCK_PLACEHOLDER
        else action
        for action in spec["actions"]
    ]
    return {**spec, "actions": actions}


def _plan_automation(
    client: SyncPrefectClient, what: str, old: Automation | None, spec: dict[str, Any]
) -> Change:
    wanted = AutomationCore.model_validate(spec)
    if old is None:
        return Change(
            verb="create",
            what=what,
            detail=wanted.description,
            apply=lambda: client.create_automation(wanted),
        )
    # A person may have switched it off for a while.
    update = wanted.model_copy(update={"enabled": old.enabled})
    if same_automation(old, update):
        return Change(verb="ok", what=what, detail="" if old.enabled else "switched off")
    return Change(
        verb="update",
        what=what,
        detail="its trigger or its actions differ",
        apply=lambda: client.update_automation(old.id, update),
    )
