"""Project webhooks: who listens, what they are told, and what became of each delivery."""

from __future__ import annotations

import hashlib
import hmac
import queue
import threading
from typing import TYPE_CHECKING, Any

import httpx
import orjson
from starlette.responses import Response

from cvat_flows.deployments.sandbox.listing import listing
from cvat_flows.deployments.sandbox.resources import person, view
from cvat_flows.deployments.sandbox.store import Row
from cvat_flows.deployments.sandbox.web import Call, Refusal, route

if TYPE_CHECKING:
    from cvat_flows.deployments.sandbox.server import Sandbox

EVENTS = [f"{did}:{kind}" for did in ("create", "delete", "update") for kind in ("job", "task")]
KEPT = ("target_url", "secret", "description", "enable_ssl", "is_active", "events")


class Notifier:
    """Tells the webhooks of a project what happens, one delivery after the other, in order."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._store = sandbox.store
        self._queue: queue.SimpleQueue[tuple[Row, Row]] = queue.SimpleQueue()
        self._http = httpx.Client(timeout=10, trust_env=False, verify=False)
        threading.Thread(target=self._deliver_all, name="webhooks", daemon=True).start()

    def tell(
        self, event: str, row: Row, user: Row | None, base: str, before: Row | None = None
    ) -> None:
        """Report on a task or job. Without a `base` it is CVAT's import worker that reports."""
        store, kind = self._store, event.partition(":")[2]
        task = row if kind == "task" else store.get("task", row["task_id"])
        project_id = task and task["project_id"]
        for hook in store.of("webhook", project_id=project_id) if project_id else ():
            if hook["is_active"] and event in hook["events"]:
                about = {**view(store, kind, row, base), **({} if base else {"labels": None})}
                body = {"event": event, kind: about, "webhook_id": hook["id"]}
                body["sender"] = person(store, user["id"] if user else None, base)
                body |= {} if before is None else {"before_update": before}
                self._queue.put((hook, body))

    def _deliver_all(self) -> None:
        while True:
            self.deliver(*self._queue.get())

    def deliver(self, hook: Row, body: Row) -> Row:
        """Post one event and keep what became of it: 502 if nobody was there."""
        content, headers = orjson.dumps(body), {"Content-Type": "application/json"}
        if hook["_secret"]:
            digest = hmac.new(hook["_secret"].encode(), content, hashlib.sha256).hexdigest()
            headers["X-Signature-256"] = f"sha256={digest}"
        try:
            response = self._http.post(hook["target_url"], content=content, headers=headers)
            status, text = response.status_code, response.text[:1000]
        except httpx.HTTPError as error:
            status, text = 502, str(error)
        with self._store.writing():
            return self._store.add(
                "delivery", webhook_id=hook["id"], event=body["event"], status_code=status,
                changed_fields=",".join(body.get("before_update") or ()), redelivery=False,
                request=body, response=text,
            )  # fmt: skip


def _checked(fields: Row) -> Row:
    if unknown := set(fields.get("events", ())) - set(EVENTS):
        raise Refusal(400, {"events": [f'"{min(unknown)}" is not a valid choice.']})
    kept = {name: fields[name] for name in KEPT if name in fields}
    kept |= {"events": sorted(kept["events"])} if "events" in kept else {}
    return kept | ({"_secret": kept.pop("secret")} if "secret" in kept else {})


@route("POST", "/api/webhooks")
def create_webhook(call: Call) -> Response:
    fields = call.fields("type", "project_id", "target_url", "events")
    project = call.find("project", fields["project_id"])
    usual = {"description": "", "enable_ssl": True, "is_active": True, "_secret": ""}
    row = call.store.add(
        "webhook", type="project", project_id=project["id"], owner=call.user["id"],
        content_type="application/json", **{**usual, **_checked(fields)},
    )  # fmt: skip
    return call.shown("webhook", row, 201)


@route("GET", "/api/webhooks/events")
def list_events(call: Call) -> Row:
    return {"webhook_type": call.query.get("type"), "events": EVENTS}


@route("PATCH", "/api/webhooks/{id:int}")
def update_webhook(call: Call) -> Response:
    row, fields = call.find("webhook"), _checked(call.fields())
    row |= fields
    call.store.save("webhook", row)
    return call.shown("webhook", row)


@route("POST", "/api/webhooks/{id:int}/ping")
def ping(call: Call) -> Row:
    row = call.find("webhook")
    about = call.view("webhook", row)
    body = {"event": "ping", "webhook": about, "sender": person(call.store, call.user["id"], "")}
    return call.view("delivery", call.sandbox.notifier.deliver(row, body))


@route("GET", "/api/webhooks/{id:int}/deliveries")
def list_deliveries(call: Call) -> Any:
    return listing(
        call, "delivery", call.store.of("delivery", webhook_id=call.find("webhook")["id"])
    )
