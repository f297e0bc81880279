"""Create, change and test webhooks; list their deliveries."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import Refusal, permission_denied
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.listing import list_page
from cvat_flows.deployments.sandbox.resources import user_summary
from cvat_flows.deployments.sandbox.store import Row

FIELDS = ("target_url", "secret", "description", "enable_ssl", "is_active", "events")

router = Router()


def _webhook_fields(call: Call, fields: Row) -> Row:
    """Return the known fields as they are stored; raise Refusal for an unknown event."""
    if unknown := set(fields.get("events", ())) - set(call.sandbox.notifier.events):
        raise Refusal(400, {"events": [f'"{min(unknown)}" is not a valid choice.']})
    kept = {name: fields[name] for name in FIELDS if name in fields}
    if "events" in kept:
        kept["events"] = sorted(kept["events"])
    if "secret" in kept:
        kept["_secret"] = kept.pop("secret")
    return kept


@router.route("POST", "/api/webhooks")
def create_webhook(call: Call) -> Response:
    fields = call.fields("type", "target_url", "events")
    if fields["type"] not in call.sandbox.notifier.types:
        raise Refusal(400, {"type": [f'"{fields["type"]}" is not a valid choice.']})
    project_id = None
    if fields["type"] == "project":
        project_id = call.find("project", call.fields("project_id")["project_id"])["id"]
    elif not call.user["is_superuser"]:
        raise permission_denied()
    defaults = {"description": "", "enable_ssl": True, "is_active": True, "_secret": ""}
    row = call.store.add(
        "webhook", type=fields["type"], project_id=project_id, owner=call.user["id"],
        content_type="application/json", **{**defaults, **_webhook_fields(call, fields)},
    )  # fmt: skip
    return call.answer_row("webhook", row, 201)


@router.route("GET", "/api/webhooks/events")
def list_events(call: Call) -> Row:
    notifier, kind = call.sandbox.notifier, call.query.get("type", "all")
    if kind not in ("all", "organization", *notifier.types):
        raise Refusal(400, "Incorrect value of type parameter")
    if "server" not in notifier.types:
        return {"webhook_type": kind, "events": notifier.events}
    events = [{"key": one, "group": {"display_name": "Events"}} for one in notifier.events]
    return {"webhook_type": kind, "events": events}


@router.route("PATCH", "/api/webhooks/{id:int}")
def update_webhook(call: Call) -> Response:
    row = call.find("webhook")
    row |= _webhook_fields(call, call.fields())
    call.store.save("webhook", row)
    return call.answer_row("webhook", row)


@router.route("POST", "/api/webhooks/{id:int}/ping")
def ping(call: Call) -> Row:
    row = call.find("webhook")
    sender = user_summary(call.store, call.user["id"], "")
    body = {"event": "ping", "webhook": call.as_json("webhook", row), "sender": sender}
    return call.as_json("delivery", call.sandbox.notifier.deliver(row, body))


@router.route("GET", "/api/webhooks/{id:int}/deliveries")
def list_deliveries(call: Call) -> Any:
    rows = call.store.children("delivery", webhook_id=call.find("webhook")["id"])
    return list_page(call, "delivery", rows)
