"""Serve the receiver: one delivery for each connection, with limits on time and connections."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 100
"""Each may hold a body of the maximum length in memory."""
HEADER_TIMEOUT = 8.0
"""In seconds. The receiver itself limits the time for the body."""
GRACE = 5
"""Seconds that requests have to end when the receiver stops."""


class LimitedProtocol(H11Protocol):
    """Closes a connection whose first request is not complete up to its body in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEADER_TIMEOUT, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Make the server. Its `run(sockets=[...])` serves until SIGTERM or SIGINT."""
    options: dict[str, Any] = {
        "http": LimitedProtocol,
        "ws": "none",
        "limit_concurrency": MAX_CONNECTIONS,
        # As CVAT does. A second request on a connection would escape HEADER_TIMEOUT.
        "headers": [("Connection", "close")],
        "server_header": False,
        "timeout_graceful_shutdown": GRACE,
        "access_log": False,
        "log_level": "warning",
    }
    return uvicorn.Server(uvicorn.Config(app, **options))
