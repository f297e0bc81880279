"""Run a Prefect server on this machine, with the settings of prefect-server.env."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.tasks.model.errors import CvatFlowsError

START_TIMEOUT = 120
"""In seconds. The first start creates the database."""
STOP_TIMEOUT = 15
"""In seconds. A server that takes longer is killed."""


class ServerDidNotStart(CvatFlowsError):
    """The Prefect server ended by itself, or did not answer in time."""


def server_environment(url: str) -> dict[str, str]:
    """Return the environment variables of a server at `url`. Those of this process count more."""
    text = Path(__file__).with_name("prefect-server.env").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    settings = {
        **dict(line.split("=", 1) for line in lines),
        "PREFECT_UI_URL": url,
        # By default, the UI sends its requests to port 4200, whatever `--port` says.
        "PREFECT_SERVER_UI_API_URL": f"{url}/api",
        **os.environ,
    }
    settings.pop("PREFECT_API_URL", None)  # The server is not a client of another one.
    return settings


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
    url = f"http://127.0.0.1:{port}"
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "cvat-flows-ui.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env=server_environment(url),
            stdout=output,
            stderr=output,
            # Signals of the terminal reach this process only, which then ends the server.
            start_new_session=True,
        )
    with _ended_by_signals(process) as signals:
        try:
            if _wait_until_healthy(url, process):
                announce()
                process.wait()
            if not signals:
                raise ServerDidNotStart(f"the Prefect server has ended: see its log {log}")
        finally:
            _end(process)


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


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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
