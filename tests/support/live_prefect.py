"""Real Prefect servers and workers in separate processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from attrs import define, field
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)

from cvat_flows.deployments.listening import free_port
from cvat_flows.deployments.local_server import shipped_settings
from tests.support.prefect_database import put_database
from tests.support.waiting import wait_until

TEST_SETTINGS = {
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_WORKER_PREFETCH_SECONDS": "1",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
}


@define(kw_only=True)
class LivePrefect:
    """A server, and the environment of processes that use it."""

    folder: Path
    url: str
    env: dict[str, str]
    cwd: Path | None = None
    """Working directory of the commands and processes. None means that of the tests."""
    processes: list[subprocess.Popen[bytes]] = field(factory=list)

    @classmethod
    @contextmanager
    def started(cls, folder: Path, *, cwd: Path | None = None, **env: str) -> Iterator[LivePrefect]:
        """Start a server."""
        url = f"http://127.0.0.1:{free_port()}"
        server = cls(
            folder=folder,
            url=url,
            cwd=cwd,
            env={
                **shipped_settings(url),
                **TEST_SETTINGS,
                "PREFECT_HOME": str(folder),
                "PREFECT_API_URL": f"{url}/api",
                **env,
            },
        )
        put_database(folder)
        with server:
            server.prefect("server", "start", "--port", url.rpartition(":")[2])
            wait_until(server.is_up, what="the Prefect server answers")
            yield server

    @contextmanager
    def use_here(self) -> Iterator[None]:
        """Make this process use the server, too."""
        with temporary_settings(
            {PREFECT_API_URL: f"{self.url}/api", PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}
        ):
            yield

    def is_up(self) -> bool:
        assert self.processes[0].poll() is None, self.log_of(0)
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/api/health", timeout=10):
            return True
        return False

    def restart_server(self) -> None:
        """Stop the server by SIGTERM, and start it again at the same address."""
        server = self.processes[0]
        server.send_signal(signal.SIGTERM)
        server.wait(120)
        arguments = ("server", "start", "--port", self.url.rpartition(":")[2])
        self.processes[0] = self.prefect(*arguments)
        self.processes.pop()
        wait_until(self.is_up, what="the Prefect server answers again")

    def prefect(self, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a `prefect` command that runs until `__exit__`."""
        return self.start([sys.executable, "-m", "prefect", *arguments], **env)

    def start(self, command: list[str], **env: str) -> subprocess.Popen[bytes]:
        """Start a process in a new process group."""
        log = self._log(len(self.processes))
        process = subprocess.Popen(
            command,
            cwd=self.cwd,
            env={**os.environ, **self.env, **env},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.processes.append(process)
        return process

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command that uses this server, and wait for its end."""
        return subprocess.run(
            command,
            cwd=self.cwd,
            env={**os.environ, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def cvat_flows(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(Path(sys.executable).parent / "cvat-flows"), *arguments, **env)

    def log_of(self, number: int) -> str:
        return self.log_path(number).read_text(errors="replace")

    def log_path(self, number: int) -> Path:
        return self.folder / f"process-{number}.log"

    def _log(self, number: int) -> IO[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.log_path(number).open("wb")

    def __enter__(self) -> LivePrefect:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            kill_group(process, signal.SIGTERM)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            kill_group(process, signal.SIGKILL)
            process.wait()


def kill_group(process: subprocess.Popen[bytes], signal_: signal.Signals) -> None:
    """Send a signal to a process and to all processes that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal_)
