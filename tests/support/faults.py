"""The faults that the fault proxy can inject into a request."""

from __future__ import annotations

import threading
from typing import Literal

from attrs import frozen

Action = Literal[
    "pass",
    "refuse",
    "reset_before",
    "reset_after",
    "status_before",
    "status_after",
    "truncate",
    "garble",
    "stall",
    "stall_after",
    "late",
    "repeat",
    "kill_before",
    "kill_after",
    "kill_late",
    "drop",
]


@frozen(kw_only=True)
class Exchange:
    """A request that the proxy has received completely."""

    index: int
    method: str
    path: str
    body: bytes


@frozen(kw_only=True)
class Fault:
    """What to do with a request and its answer."""

    action: Action = "pass"
    status: int = 503
    retry_after: str | None = None
    seconds: float = 0.0
    """How long `refuse` lasts, and `stall` at most: that ends when the client disconnects. `late`
    forwards the request this long after its client has disconnected."""
    overtaken: bool = False
    """Whether `late` waits for a later write, and is then forwarded before it."""
    release: threading.Event | None = None
    """An event that `late` waits for, too."""
    seed: int = 0
    """Decides where `garble` and `truncate` damage the answer."""
    frame: int | None = None
    """Frame whose annotations `drop` removes from the request."""


PASS = Fault()
