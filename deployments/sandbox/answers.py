"""Answers in CVAT's media type, and the exception that turns into an error answer."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

JSON = "application/vnd.cvat+json"
REQUIRED = ["This field is required."]
TOO_LOW = ["Ensure this value is greater than or equal to 0."]


class Refusal(Exception):
    """Raise it to answer a request with an error status and this body."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status, self.body, self.headers = status, body, headers


def permission_denied() -> Refusal:
    return Refusal(403, {"detail": "You do not have permission to perform this action."})


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response. A `bytes` body must be JSON already."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(content, status, headers, media_type=JSON)
