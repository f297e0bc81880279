"""Check the signature of a webhook delivery and read it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from attrs import frozen

from cvat_flows.deployments.webhook.events import IMPORT_COMPLETED, TASK_UPDATED

SIGNATURE_HEADER = "X-Signature-256"
MAX_SHOWN_FIELDS = 5


class BadDelivery(Exception):
    """The body is not a delivery as CVAT sends it."""


@frozen(kw_only=True)
class Delivery:
    """The part of a delivery that matters here."""

    event: str
    task_id: int | None = None
    """The CVAT task that has its data, if the delivery shows one."""
    size: int | None = None
    """The task's number of frames, if the delivery says it."""
    changed: tuple[str, ...] = ()
    """The fields that an update changed, without `updated_date`."""
    is_import: bool = False
    """Whether an import has ended. All other deliveries may be about annotations alone."""

    def __str__(self) -> str:
        about = f" of task {self.task_id}" if self.task_id is not None else ""
        fields = ", ".join(self.changed[:MAX_SHOWN_FIELDS])
        more = ", ..." if len(self.changed) > MAX_SHOWN_FIELDS else ""
        return f"{self.event}{about}" + (f" ({fields}{more})" if fields else "")


def sign(body: bytes, secret: bytes) -> str:
    """Return the signature that CVAT sends in `X-Signature-256`."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, signature: str | None, secret: bytes) -> bool:
    """Whether the signature belongs to the body. Compares in constant time."""
    return hmac.compare_digest(sign(body, secret).encode(), (signature or "").encode())


def read_delivery(body: bytes) -> Delivery:
    """Read a delivery. Raises BadDelivery.

    Only two events show data. CVAT sends `create:task` earlier, and `create:job` while it writes
    the data.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadDelivery("the body is not JSON") from error
    event = content.get("event") if isinstance(content, dict) else None
    if not isinstance(event, str):
        raise BadDelivery("the body names no event")
    if event == TASK_UPDATED:
        return _read_update(content)
    if event == IMPORT_COMPLETED:
        return _read_import(content)
    return Delivery(event=event)


def _read_update(content: dict[str, Any]) -> Delivery:
    task = content.get("task")
    task_id = _task_id(TASK_UPDATED, task, "id")
    size = task.get("size") if isinstance(task, dict) else None
    has_data = type(size) is int and size > 0
    before = content.get("before_update")
    changed = before.keys() - {"updated_date"} if isinstance(before, dict) else ()
    return Delivery(
        event=TASK_UPDATED,
        task_id=task_id if has_data else None,
        size=size if has_data else None,
        changed=tuple(sorted(changed)),
    )


def _read_import(content: dict[str, Any]) -> Delivery:
    request = content.get("request")
    operation = request.get("operation") if isinstance(request, dict) else None
    task_id = _task_id(IMPORT_COMPLETED, operation, "task_id")
    finished = isinstance(request, dict) and request.get("status") == "finished"
    return Delivery(
        event=IMPORT_COMPLETED, task_id=task_id if finished else None, is_import=finished
    )


def _task_id(event: str, row: Any, key: str) -> int:
    task_id = row.get(key) if isinstance(row, dict) else None
    if type(task_id) is not int or task_id < 1:
        raise BadDelivery(f"{event} without a task ID")
    return task_id
