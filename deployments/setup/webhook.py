"""Plan the webhooks in CVAT that tell the receiver about tasks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from attrs import evolve, frozen
from cvat_sdk import Client

from cvat_flows.deployments.setup.changes import Change, SetupError
from cvat_flows.deployments.webhook.events import IMPORT_COMPLETED, TASK_UPDATED
from cvat_flows.deployments.webhook.secret import read_secret
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.errors import CvatRefused
from cvat_flows.tasks.cvat.client.http import get_all_pages, get_json, send_json
from cvat_flows.tasks.cvat.client.settings import find_settings

Kind = Literal["project", "organization", "server"]

EVENTS_WITHOUT_IMPORTS = ["create:job", "create:task", TASK_UPDATED]
"""For a server without events about imports. Only `update:task` shows that a task has data. The
others help people who read CVAT's list of deliveries."""

_OWN_EVENTS = {*EVENTS_WITHOUT_IMPORTS, IMPORT_COMPLETED}
_NOT_OFFERED: dict[Kind, str] = {
    "project": "no webhooks for projects",
    "organization": "no webhooks for organizations: use --webhook PROJECT",
    "server": "no webhooks for the whole server, which came with CVAT 2.76: use "
    "--webhook-organization ORGANIZATION or --webhook PROJECT",
}


@frozen(kw_only=True)
class Target:
    """Where CVAT sends deliveries, and the secret that signs them."""

    url: str
    secret: str

    @property
    def is_https(self) -> bool:
        return self.url.startswith("https://")


@frozen(kw_only=True)
class Scope:
    """The tasks that a webhook is about."""

    kind: Kind
    name: str
    """For people: project 7 'street'."""
    client: Client
    """Sends requests in the scope's organization."""
    project_id: int | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the webhook that state the scope."""
        project = {} if self.project_id is None else {"project_id": self.project_id}
        return {"type": self.kind, **project}


def wants_webhooks(arguments: argparse.Namespace) -> bool:
    """Whether the command line names a webhook."""
    return bool(arguments.webhook or arguments.webhook_organization or arguments.webhook_server)


def plan_webhooks(arguments: argparse.Namespace) -> list[Change]:
    """Plan the webhooks of the command line. One with the same address and scope is updated.

    Raises SetupError, or CvatRefused if the account may not manage the webhooks.
    """
    if not arguments.webhook_url:
        raise SetupError(
            "a webhook needs --webhook-url: the address at which CVAT reaches `cvat-flows "
            "webhook`, for example https://flows.example.com/cvat"
        )
    target = Target(url=arguments.webhook_url, secret=read_secret(arguments.secret_file))
    return [_plan_webhook(scope, target) for scope in _scopes(arguments)]


def _scopes(arguments: argparse.Namespace) -> Iterator[Scope]:
    settings = find_settings()
    if arguments.webhook:
        client = connect(settings)
        for name in arguments.webhook:
            project = _find_project(client, name)
            shown = f"project {project['id']} {project['name']!r}"
            yield Scope(kind="project", name=shown, client=client, project_id=project["id"])
    for slug in arguments.webhook_organization:
        client = connect(evolve(settings, organization=slug))
        yield Scope(kind="organization", name=f"organization {slug!r}", client=client)
    if arguments.webhook_server:
        client = connect(evolve(settings, organization=None))
        yield Scope(kind="server", name="the server", client=client)


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


def _plan_webhook(scope: Scope, target: Target) -> Change:
    what, client = f"CVAT webhook of {scope.name}", scope.client
    events = _events(scope)
    old = _find_webhook(scope, target, what)
    wanted = {
        "target_url": target.url,
        "content_type": "application/json",
        "events": events,
        "secret": target.secret,
        "enable_ssl": target.is_https,
        "is_active": True,
    }
    if old is None:
        body = {
            **wanted,
            **scope.fields,
            "description": "cvat-flows: annotate each task when it is ready",
        }
        return Change(
            verb="create",
            what=what,
            detail=f"to {target.url}",
            apply=partial(send_json, client, "POST", "/api/webhooks", body, subject=what),
        )
    differences = [key for key in ("enable_ssl", "is_active") if old.get(key) != wanted[key]]
    if not set(events) <= set(old["events"]):
        differences.append("events")
        # What another version of CVAT needed goes. What people added stays.
        wanted["events"] = sorted({*events, *old["events"]} - (_OWN_EVENTS - set(events)))
    else:
        del wanted["events"]
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


def _events(scope: Scope) -> list[str]:
    """Return the events that a webhook needs on this server. Raises SetupError."""
    subject = f"the events for {scope.name}"
    try:
        answer = get_json(
            scope.client,
            "/api/webhooks/events",
            subject=subject,
            fields=["events"],
            type=scope.kind,
        )
    except CvatRefused as error:
        if error.status != 400:
            raise
        raise SetupError(f"this CVAT has {_NOT_OFFERED[scope.kind]}") from error
    # In newer versions an event is a mapping with its key and its group.
    offered = {one["key"] if isinstance(one, dict) else one for one in answer["events"]}
    return [IMPORT_COMPLETED] if IMPORT_COMPLETED in offered else EVENTS_WITHOUT_IMPORTS


def _find_webhook(scope: Scope, target: Target, what: str) -> dict[str, Any] | None:
    needed = ["id", "type", "target_url", "events"]
    rows = get_all_pages(scope.client, "/api/webhooks", subject=what, fields=needed, **scope.fields)
    wanted = {**scope.fields, "target_url": target.url}
    return next((row for row in rows if wanted.items() <= row.items()), None)


def _ping(client: Client, webhook_id: int, what: str) -> int | None:
    """Have CVAT ping the receiver and return the status of its answer. None without an answer."""
    row = send_json(client, "POST", f"/api/webhooks/{webhook_id}/ping", None, subject=what)
    status = row.get("status_code") if isinstance(row, dict) else None
    return int(status) if status is not None else None
