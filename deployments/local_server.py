"""A Prefect server on this machine, with the settings of prefect-server.env."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvat_flows.deployments.listening import free_port
from cvat_flows.tasks.model.errors import CvatFlowsError

START_TIMEOUT = 120
"""In seconds. The first start creates the database."""
STOP_TIMEOUT = 15
"""In seconds. A process that takes longer is killed."""


class ServerDidNotStart(CvatFlowsError):
    """The Prefect server ended by itself, or did not answer in time."""

    def __init__(self, log: Path) -> None:
        super().__init__(f"the Prefect server has ended: see its log {log}")
        self.log = log


def shipped_settings(url: str) -> dict[str, str]:
    """Return the settings of prefect-server.env for a server at `url`."""
    lines = Path(__file__).with_name("prefect-server.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    # By default, the UI sends its requests to port 4200, whatever `--port` says.
    return {**settings, "PREFECT_UI_URL": url, "PREFECT_SERVER_UI_API_URL": f"{url}/api"}


def server_environment(url: str) -> dict[str, str]:
    """Return the environment variables of a server at `url`. Those of this process count more."""
    settings = {**shipped_settings(url), **os.environ}
    settings.pop("PREFECT_API_URL", None)  # The server is not a client of another one.
    return settings


@contextmanager
def local_prefect(folder: Path) -> Iterator[str]:
    """Run a server on a free port, and make this process use it. Yields the address of its UI.

    Call it before Prefect is imported, because Prefect reads its settings then.
    """
    port, log = free_port(), folder / "prefect-server.log"
    with running_server(port, log) as process:
        if not is_healthy(port, process):
            raise ServerDidNotStart(log)
        url = f"http://127.0.0.1:{port}"
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        yield url


@contextmanager
def running_server(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the process of a server during the block.

    Signals of the terminal do not reach it: they reach this process, which then ends the server.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env=server_environment(f"http://127.0.0.1:{port}"),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with ending(process):
        yield process


def is_healthy(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers. False if it ends before, or takes too long."""
    end = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
    return False


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process when the block ends."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
