"""Run the sandbox in a separate process, for tests, demos and benchmarks."""

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
    """A sandbox in a separate process; a context manager that starts and stops it."""

    admin = ("admin", "admin")
    worker = ("worker", "worker")

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        quirks: bool = False,
        new_webhooks: bool = False,
    ) -> None:
        """Describe the process; `start` starts it.

        Args:
            data_dir: Folder that keeps the sandbox's data and its log.
            port: 0 means a free one, which stays the same when the sandbox is started again.
            quirks: Also imitate known bugs of CVAT 2.54.
            new_webhooks: Offer the webhooks of CVAT 2.76: events about imports, and webhooks
                for the whole server.
        """
        self.data_dir = Path(data_dir)
        self.log = self.data_dir / "sandbox.log"
        self.url = ""
        self._port = port
        self._flags = ["--quirks"] * quirks + ["--new-webhooks"] * new_webhooks
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it listens.

        Raises:
            RuntimeError: with the end of the log, if the server does not start.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        address = self.data_dir / ADDRESS_FILE
        address.unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "cvat_flows.deployments.sandbox", "--data", str(self.data_dir),
            "--port", str(self._port), "--parent", str(os.getpid()),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not address.exists():  # the server writes it when it listens
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the sandbox did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        self.url = address.read_text()
        self._port = int(self.url.rsplit(":", 1)[1])

    def stop(self) -> None:
        """Kill the server. Everything that it has confirmed is kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def set_faults(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Replace the fault rules; see `cvat_flows.deployments.sandbox.faults.Rule`."""
        self._request("POST", "/sandbox/faults", [dict(rule) for rule in rules])

    def list_faults(self) -> list[dict[str, Any]]:
        """Return the current fault rules, each with its `matches` and `hits`."""
        rules: list[dict[str, Any]] = self._request("GET", "/sandbox/faults").json()
        return rules

    def clear_faults(self) -> None:
        self._request("DELETE", "/sandbox/faults")

    def plant_quality_report(self, task_id: int, **summary: float) -> int:
        """Add a quality report of a task, with figures such as `accuracy`, and return its id."""
        body = {"task_id": task_id, "summary": summary}
        return int(self._request("POST", "/sandbox/quality_reports", body).json()["id"])

    def request_counts(self) -> dict[str, int]:
        """Return the number of requests by address: `GET /api/tasks/{id}/data?type=chunk`."""
        counts: dict[str, int] = self._request("GET", "/sandbox/requests").json()
        return counts

    def reset_request_counts(self) -> None:
        self._request("DELETE", "/sandbox/requests")

    def _request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        with httpx.Client(auth=self.admin, trust_env=False, timeout=30) as http:
            response = http.request(method, self.url + path, json=body)
        if not response.is_success:
            raise ValueError(f"the sandbox refused {path}: {response.text}")
        return response
