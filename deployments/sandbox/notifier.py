"""Project webhooks: which events they receive, and how events are delivered."""

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


class Notifier:
    """Sends events to the webhooks of a project, one after the other, in order."""

    def __init__(self, store: Store) -> None:
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
        project_id = task and task["project_id"]
        for hook in store.children("webhook", project_id=project_id) if project_id else ():
            if hook["is_active"] and event in hook["events"]:
                shown = {**as_json(store, kind, row, base), **({} if base else {"labels": None})}
                body = {"event": event, kind: shown, "webhook_id": hook["id"]}
                body["sender"] = user_summary(store, user["id"] if user else None, base)
                body |= {} if before is None else {"before_update": before}
                self._queue.put((hook, body))

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
