"""Run a Prefect server for the demo, with its data in one folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT = 120
"""In seconds. The first start creates the database."""


def free_port() -> int:
    """Return a port of this machine on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shipped_settings(url: str) -> dict[str, str]:
    """Read prefect-server.env for a server at `url`."""
    lines = Path(__file__).parents[1].joinpath("prefect-server.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {**settings, "PREFECT_UI_URL": url}


@contextmanager
def local_prefect(folder: Path) -> Iterator[str]:
    """Start a Prefect server and make this process use it. Yields the address of its UI.

    Call it before Prefect is imported, because Prefect reads its settings then.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log_path = folder / "prefect-server.log"
    with log_path.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env={
                **os.environ,
                **shipped_settings(url),
                # By default, the UI sends its requests to port 4200, whatever `--port` says.
                "PREFECT_SERVER_UI_API_URL": f"{url}/api",
            },
            stdout=log,
            stderr=log,
        )
    with ending(server):
        _wait_until_healthy(url, server, log_path)
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        yield url


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process when the block ends."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the Prefect server did not start, see its log {log}")
