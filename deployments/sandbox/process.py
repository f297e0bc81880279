"""A sandbox in a process of its own, for tests, demos and benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from cvat_flows.deployments.sandbox import ADDRESS_FILE

START_TIMEOUT_S = 120


class SandboxProcess:
    """Starts the sandbox on entering, ready to be used, and ends it on leaving."""

    admin = ("admin", "admin")
    worker = ("worker", "worker")

    def __init__(self, data_dir: Path, port: int = 0, *, quirks: bool = False) -> None:
        """Port 0 takes a free one, and keeps it when the sandbox is started again."""
        self.data_dir = Path(data_dir)
        self.log = self.data_dir / "sandbox.log"
        self.url = ""
        self._port, self._quirks = port, quirks
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it listens; raises RuntimeError if it does not."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        address = self.data_dir / ADDRESS_FILE
        address.unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "cvat_flows.deployments.sandbox", "--data", str(self.data_dir),
            "--port", str(self._port), "--parent", str(os.getpid()),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *(["--quirks"] if self._quirks else [])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not address.exists():  # it is written when the server listens
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the sandbox did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        self.url = address.read_text()
        self._port = int(self.url.rsplit(":", 1)[1])

    def stop(self) -> None:
        """Kill the server at once; what it has confirmed is kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def faults(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Replace the rules of misbehaviour: see `deployments.sandbox.faults.Rule`."""
        self._ask("POST", "/sandbox/faults", [dict(rule) for rule in rules])

    def list_faults(self) -> list[dict[str, Any]]:
        """The rules in force, each with its `matches` and `hits`."""
        rules: list[dict[str, Any]] = self._ask("GET", "/sandbox/faults").json()
        return rules

    def clear_faults(self) -> None:
        self._ask("DELETE", "/sandbox/faults")

    def requests(self) -> dict[str, int]:
        """How often each address was asked for: `GET /api/tasks/{id}/data?type=chunk`."""
        counts: dict[str, int] = self._ask("GET", "/sandbox/requests").json()
        return counts

    def reset_requests(self) -> None:
        self._ask("DELETE", "/sandbox/requests")

    def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        with httpx.Client(auth=self.admin, trust_env=False, timeout=30) as http:
            response = http.request(method, self.url + path, json=body)
        if not response.is_success:
            raise ValueError(f"the sandbox refused {path}: {response.text}")
        return response
