"""Plan the webhooks in CVAT that tell the receiver about a project's tasks."""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.deployments.setup.changes import Change, SetupError
from cvat_flows.deployments.webhook.secret import read_secret
from cvat_flows.tasks.cvat.connection import connect
from cvat_flows.tasks.cvat.http import get_all_pages, send_json
from cvat_flows.tasks.cvat.settings import find_settings

EVENTS = ["create:job", "create:task", "update:task"]
"""Only `update:task` shows that a task has data. The others help people who read CVAT's list of
deliveries."""


@frozen(kw_only=True)
class Target:
    """Where CVAT sends deliveries, and the secret that signs them."""

    url: str
    secret: str

    @property
    def is_https(self) -> bool:
        return self.url.startswith("https://")


def plan_webhooks(arguments: argparse.Namespace) -> list[Change]:
    """Plan a webhook for each `--webhook PROJECT`. One with the same address is updated.

    Raises SetupError, or CvatRefused if the account may not manage the project's webhooks.
    """
    if not arguments.webhook_url:
        raise SetupError(
            "--webhook needs --webhook-url: the address at which CVAT reaches `cvat-flows "
            "webhook`, for example https://flows.example.com/cvat"
        )
    target = Target(url=arguments.webhook_url, secret=read_secret(arguments.secret_file))
    client = connect(find_settings())
    projects = [_find_project(client, name) for name in arguments.webhook]
    return [_plan_webhook(client, project, target) for project in projects]


def _find_project(client: Client, name: str) -> dict[str, Any]:
    either: list[dict[str, Any]] = [{"==": [{"var": "name"}, name]}]
    if name.isdecimal():
        either.append({"==": [{"var": "id"}, int(name)]})
    condition = either[0] if len(either) == 1 else {"or": either}
    found = list(
        get_all_pages(
            client,
            "/api/projects",
            subject="the list of projects",
            fields=["id", "name"],
            filter=json.dumps(condition),
        )
    )
    if not found:
        raise SetupError(
            f"--webhook {name}: CVAT has no such project, or the account may not see it"
        )
    if len(found) > 1:
        ids = ", ".join(str(row["id"]) for row in found)
        raise SetupError(f"--webhook {name}: several projects have this name, use an ID ({ids})")
    project: dict[str, Any] = found[0]
    return project


def _plan_webhook(client: Client, project: dict[str, Any], target: Target) -> Change:
    what = f"CVAT webhook of project {project['id']} {project['name']!r}"
    rows = get_all_pages(
        client,
        "/api/webhooks",
        subject=what,
        fields=["id", "target_url", "events"],
        project_id=project["id"],
    )
    old = next((row for row in rows if row["target_url"] == target.url), None)
    wanted = {
        "target_url": target.url,
        "content_type": "application/json",
        "events": EVENTS,
        "secret": target.secret,
        "enable_ssl": target.is_https,
        "is_active": True,
    }
    if old is None:
        body = {
            **wanted,
            "type": "project",
            "project_id": project["id"],
            "description": "cvat-flows: annotate each task when it is ready",
        }
        return Change(
            verb="create",
            what=what,
            detail=f"to {target.url}",
            apply=partial(send_json, client, "POST", "/api/webhooks", body, subject=what),
        )
    differences = [key for key in ("enable_ssl", "is_active") if old.get(key) != wanted[key]]
    if not set(EVENTS) <= set(old["events"]):
        differences.append("events")
        wanted["events"] = sorted({*EVENTS, *old["events"]})
    # CVAT never shows the secret. A ping shows whether the receiver accepts it.
    if not differences and _ping(client, old["id"], what) == 401:
        differences.append("secret")
    if not differences:
        return Change(verb="ok", what=what, detail=f"to {target.url}")
    return Change(
        verb="update",
        what=what,
        detail=", ".join(differences),
        apply=partial(
            send_json, client, "PATCH", f"/api/webhooks/{old['id']}", wanted, subject=what
        ),
    )


def _ping(client: Client, webhook_id: int, what: str) -> int | None:
    """Have CVAT ping the receiver and return the status of its answer. None without an answer."""
    row = send_json(client, "POST", f"/api/webhooks/{webhook_id}/ping", None, subject=what)
    status = row.get("status_code") if isinstance(row, dict) else None
    return int(status) if status is not None else None
