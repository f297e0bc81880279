"""Webhooks: which events they receive, and how events are delivered."""

from __future__ import annotations

import hashlib
import hmac
import queue
import threading

import httpx
import orjson

from cvat_flows.deployments.sandbox.resources import as_json, user_summary
from cvat_flows.deployments.sandbox.store import Row, Store

EVENTS = [
    f"{action}:{kind}" for action in ("create", "delete", "update") for kind in ("job", "task")
]
IMPORT_COMPLETED = "completed:request[create:task]"


class Notifier:
    """Sends events to webhooks, one after the other, in order."""

    def __init__(self, store: Store, *, new_webhooks: bool = False) -> None:
        """Start the deliveries. `new_webhooks`: offer what CVAT 2.76 does, else what 2.54 does."""
        self.types = ["project", "server"] if new_webhooks else ["project"]
        self.events = [IMPORT_COMPLETED, *EVENTS] if new_webhooks else EVENTS
        self._store = store
        self._queue: queue.SimpleQueue[tuple[Row, Row]] = queue.SimpleQueue()
        self._http = httpx.Client(timeout=10, trust_env=False, verify=False)
        threading.Thread(target=self._deliver_all, name="webhooks", daemon=True).start()

    def notify(
        self, event: str, row: Row, user: Row | None, base: str, before: Row | None = None
    ) -> None:
        """Queue an event about a task or job for all webhooks that subscribe to it.

        Args:
            event: Such as `create:task`.
            row: The task or job.
            user: Who caused the event.
            base: What URLs begin with. An empty text stands for CVAT's import worker, which sends
                relative URLs and no labels.
            before: The old values of the fields that an update changed.
        """
        store, kind = self._store, event.partition(":")[2]
        task = row if kind == "task" else store.get("task", row["task_id"])
        for hook in self._subscribers(event, task):
            shown = {**as_json(store, kind, row, base), **({} if base else {"labels": None})}
            body = {"event": event, kind: shown, "webhook_id": hook["id"]}
            body["sender"] = user_summary(store, user["id"] if user else None, base)
            body |= {} if before is None else {"before_update": before}
            self._queue.put((hook, body))

    def notify_completed(self, request: Row) -> None:
        """Queue the event that an import has ended, whether it succeeded or failed.

        Its body has no sender, as read in CVAT's source.
        """
        for hook in self._subscribers(
            IMPORT_COMPLETED, self._store.get("task", request["task_id"])
        ):
            shown = as_json(self._store, "request", request, "")
            body = {"event": IMPORT_COMPLETED, "request": shown, "webhook_id": hook["id"]}
            self._queue.put((hook, body))

    def _subscribers(self, event: str, task: Row | None) -> list[Row]:
        """Return the active webhooks of the task's project and of the server."""
        project_id = task and task["project_id"]
        hooks = self._store.children("webhook", project_id=None)
        hooks += self._store.children("webhook", project_id=project_id) if project_id else []
        return [hook for hook in hooks if hook["is_active"] and event in hook["events"]]

    def record_update(
        self, kind: str, row: Row, user: Row | None, base: str, before: Row | None = None
    ) -> None:
        """Set the `updated_date` of a changed task or job, save it and send the update event."""
        before = {**(before or {}), "updated_date": row["updated_date"]}
        row["updated_date"] = self._store.now()
        self._store.save(kind, row)
        self.notify(f"update:{kind}", row, user, base, before)

    def _deliver_all(self) -> None:
        while True:
            self.deliver(*self._queue.get())

    def deliver(self, hook: Row, body: Row) -> Row:
        """Post one event and return its delivery row: status 502 if the receiver is down."""
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
