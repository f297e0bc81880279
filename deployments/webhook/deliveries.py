"""What a delivery of a CVAT webhook says, and whether it is CVAT that says it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from attrs import frozen

SIGNATURE = "X-Signature-256"


class BadDelivery(Exception):
    """The body is not what CVAT sends."""


@frozen(kw_only=True)
class Delivery:
    """One delivery, as far as it matters here."""

    event: str
    task_id: int | None
    """The CVAT task that has data now, if the delivery hints at one."""


def signature(body: bytes, secret: bytes) -> str:
    """The value of `X-Signature-256` for a body (CVAT_FACTS 7)."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, given: str | None, secret: bytes) -> bool:
    """Whether the signature fits the body; takes the same time wherever it differs."""
    return hmac.compare_digest(signature(body, secret).encode(), (given or "").encode())


def read_delivery(body: bytes) -> Delivery:
    """Read a delivery. Raises BadDelivery.

    `update:task` with a size is the only event that shows data: `create:task` comes before it,
    `create:job` while it is being written. The same event reports every change of annotations, so
    it is a hint, never more (CVAT_FACTS 7).
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadDelivery("the body is no JSON") from error
    event = content.get("event") if isinstance(content, dict) else None
    if not isinstance(event, str):
        raise BadDelivery("the body names no event")
    return Delivery(event=event, task_id=_task_with_data(event, content))


def _task_with_data(event: str, content: dict[str, Any]) -> int | None:
    if event != "update:task":
        return None
    task = content.get("task")
    task_id = task.get("id") if isinstance(task, dict) else None
    if not isinstance(task, dict) or type(task_id) is not int or task_id < 1:
        raise BadDelivery("an update:task without the task's id")
    size = task.get("size")
    return task_id if type(size) is int and size > 0 else None
