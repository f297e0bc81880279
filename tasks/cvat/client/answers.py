"""Tell CVAT's answers from those of a proxy, a login page or another server at its address."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.explain import describe_body


class NotFromCvat(CvatUnavailable):
    """The answer is not CVAT's. A proxy may give it while CVAT restarts, so it may pass."""

    def __init__(self, subject: str, what: str) -> None:
        super().__init__(
            f"{subject}: the answer is not CVAT's: {what}; check the server's address, and the "
            "proxy or login page in front of it"
        )


def read_answer(
    body: bytes, *, subject: str, fields: Collection[str] = (), row_fields: Collection[str] = ()
) -> Any:
    """Decode the JSON of an answer with status 200.

    Args:
        body: The body of the answer.
        subject: Names the requested object in the error, for example "task 5".
        fields: Fields that CVAT's answer has. Without any, any JSON is accepted.
        row_fields: Fields that each of the answer's `results` has.

    Raises:
        NotFromCvat: The body is not JSON, or lacks a field.
    """
    try:
        content = json.loads(body)
    except ValueError:
        raise NotFromCvat(subject, describe_body(body)) from None
    missing = _missing(content, fields)
    if missing is None and row_fields:
        rows = content["results"]
        missing = (
            next((name for row in rows if (name := _missing(row, row_fields))), None)
            if isinstance(rows, list)
            else "results"
        )
    if missing is not None:
        raise NotFromCvat(subject, f"JSON without {missing!r}")
    return content


def _missing(content: Any, fields: Collection[str]) -> str | None:
    """Return the first of the fields that a value lacks."""
    return next((f for f in fields if not isinstance(content, dict) or f not in content), None)
