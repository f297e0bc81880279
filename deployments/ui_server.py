"""Run a Prefect server for `cvat-flows ui`: until Ctrl-C, with its data in Prefect's home."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvat_flows.deployments.local_server import ServerDidNotStart, is_healthy, running_server
from cvat_flows.flows.commands.base.usage_error import UsageError


def run_server(port: int, announce: Callable[[], None]) -> None:
    """Run a server until it ends, or until Ctrl-C or SIGTERM ends it. A second signal kills it.

    Args:
        port: Port of 127.0.0.1 on which it listens.
        announce: Called when the server answers.

    Raises:
        UsageError: if another program listens on the port.
        ServerDidNotStart: if the server ended, or did not answer in time.
    """
    _check_port(port)
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "cvat-flows-ui.log"
    with running_server(port, log) as process, _ended_by_signals(process) as signals:
        if is_healthy(port, process):
            announce()
            process.wait()
        if not signals:
            raise ServerDidNotStart(log)


@contextmanager
def _ended_by_signals(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM end a process during the block. Yields the signals that came."""
    came: list[int] = []

    def handle(number: int, _: Any) -> None:
        came.append(number)
        if len(came) == 1:
            process.terminate()
        else:
            process.kill()

    before = {one: signal.signal(one, handle) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _check_port(port: int) -> None:
    if not 0 < port < 65536:
        raise UsageError(f"--port {port}: give a number from 1 to 65535")
    with socket.socket() as probe:
        # As the server does: a port that was in use a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"--port {port}: another program listens there. If it is a Prefect server, use it: "
                f"export PREFECT_API_URL=http://127.0.0.1:{port}/api; else give another port."
            ) from error
