"""Check the signature of a webhook delivery and read it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from attrs import frozen

SIGNATURE_HEADER = "X-Signature-256"


class BadDelivery(Exception):
    """The body is not a delivery as CVAT sends it."""


@frozen(kw_only=True)
class Delivery:
    """The part of a delivery that matters here."""

    event: str
    task_id: int | None
    """The CVAT task that may have data now, if any."""


def sign(body: bytes, secret: bytes) -> str:
    """Return the signature that CVAT sends in `X-Signature-256`."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, signature: str | None, secret: bytes) -> bool:
    """Whether the signature belongs to the body. Compares in constant time."""
    return hmac.compare_digest(sign(body, secret).encode(), (signature or "").encode())


def read_delivery(body: bytes) -> Delivery:
    """Read a delivery. Raises BadDelivery.

    `update:task` with a size is the only event that shows data: CVAT sends `create:task` earlier,
    and `create:job` while it writes the data. Every change of annotations sends `update:task`, too.
    So the event is only a hint.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadDelivery("the body is not JSON") from error
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
        raise BadDelivery("update:task without a task ID")
    size = task.get("size")
    return task_id if type(size) is int and size > 0 else None
