"""A Prefect server of one's own in a folder, for the demo."""

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

PATIENCE = 120
"""Seconds until a server that does not answer is given up: the first start makes a database."""


def free_port() -> int:
    """A port of this machine that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def local_prefect(folder: Path) -> Iterator[str]:
    """Start a Prefect server and make this process use it; yields the address of its UI.

    Call it before Prefect is imported: the settings are read then.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log_path = folder / "prefect-server.log"
    with log_path.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            # The UI asks the port of the settings, whatever port the server was started on.
            env={
                **os.environ,
                "PREFECT_SERVER_UI_API_URL": f"{url}/api",
                # Off for a temporary server (flows.cli); this one has a UI.
                "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "true",
                "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
                "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
                "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "true",
            },
            stdout=log,
            stderr=log,
        )
    try:
        _wait(url, server, log_path)
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        yield url
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the Prefect server did not start; its log is {log}")
