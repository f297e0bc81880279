"""Create, change and test webhooks; list their deliveries."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from cvat_flows.deployments.sandbox.answers import Refusal
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.handlers.listing import list_page
from cvat_flows.deployments.sandbox.notifier import EVENTS
from cvat_flows.deployments.sandbox.resources import user_summary
from cvat_flows.deployments.sandbox.store import Row

FIELDS = ("target_url", "secret", "description", "enable_ssl", "is_active", "events")

router = Router()


def _webhook_fields(fields: Row) -> Row:
    """Return the known fields as they are stored; raise Refusal for an unknown event."""
    if unknown := set(fields.get("events", ())) - set(EVENTS):
        raise Refusal(400, {"events": [f'"{min(unknown)}" is not a valid choice.']})
    kept = {name: fields[name] for name in FIELDS if name in fields}
    if "events" in kept:
        kept["events"] = sorted(kept["events"])
    if "secret" in kept:
        kept["_secret"] = kept.pop("secret")
    return kept


@router.route("POST", "/api/webhooks")
def create_webhook(call: Call) -> Response:
    fields = call.fields("type", "project_id", "target_url", "events")
    project = call.find("project", fields["project_id"])
    defaults = {"description": "", "enable_ssl": True, "is_active": True, "_secret": ""}
    row = call.store.add(
        "webhook", type="project", project_id=project["id"], owner=call.user["id"],
        content_type="application/json", **{**defaults, **_webhook_fields(fields)},
    )  # fmt: skip
    return call.answer_row("webhook", row, 201)


@router.route("GET", "/api/webhooks/events")
def list_events(call: Call) -> Row:
    return {"webhook_type": call.query.get("type"), "events": EVENTS}


@router.route("PATCH", "/api/webhooks/{id:int}")
def update_webhook(call: Call) -> Response:
    row = call.find("webhook")
    row |= _webhook_fields(call.fields())
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
