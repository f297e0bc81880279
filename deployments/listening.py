"""The address on which a server listens: the one of `--host` and `--port`, or a free port."""

from __future__ import annotations

import socket

from cvat_flows.flows.commands.base.usage_error import UsageError


def listen(host: str, port: int) -> socket.socket:
    """Listen on the address. Port 0 is a free one. Raises UsageError."""
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port {port}: must be a number from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: cannot listen there ({error.strerror})"
        ) from None
    # Headers and body are written separately. With Nagle's algorithm each answer takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """Return the address of a listener for a client, for example http://127.0.0.1:8085."""
    shown = f"[{host}]" if listener.family == socket.AF_INET6 else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def free_port() -> int:
    """Return a port of this machine on which nothing listens at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
