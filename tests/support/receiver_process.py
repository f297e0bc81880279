"""The command `cvat-flows webhook` in a separate process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

from cvat_flows.deployments.webhook.delivery import SIGNATURE_HEADER, sign
from tests.support.waiting import wait_until

SECRET = "0123456789abcdef0123456789abcdef"
COMMAND = [str(Path(sys.executable).parent / "cvat-flows"), "webhook", "--port", "0"]
"""To be completed by options. The environment must have the secret."""


@frozen
class ReceiverProcess:
    """A receiver that listens."""

    url: str
    """Where CVAT delivers to."""
    log: Path

    def deliver(self, content: Any) -> tuple[int, str]:
        """Deliver as CVAT does, and return the status and the text of the answer."""
        body = json.dumps(content).encode()
        headers = {SIGNATURE_HEADER: sign(body, SECRET.encode())}
        answer = httpx.post(self.url, content=body, headers=headers, timeout=15, trust_env=False)
        return answer.status_code, answer.json()["result"]


def wait_for_receiver(process: subprocess.Popen[bytes], log: Path) -> ReceiverProcess:
    """Wait until the process of `COMMAND` answers."""

    def address() -> str | None:
        assert process.poll() is None, log.read_text()
        found = re.search(r"listening on (http://\S+)", log.read_text())
        return found and found[1]

    url = wait_until(address, what="the receiver listens")
    assert httpx.get(url.replace("/cvat", "/health"), trust_env=False, timeout=60).is_success
    return ReceiverProcess(url, log)


@contextmanager
def receiver_process(folder: Path, *options: str, **env: str) -> Iterator[ReceiverProcess]:
    """Run a receiver with its log in the folder."""
    log = folder / "receiver.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, *options],
            env={**os.environ, "CVAT_FLOWS_WEBHOOK_SECRET": SECRET, **env},
            stdout=output,
            stderr=output,
        )
    try:
        yield wait_for_receiver(process, log)
    finally:
        process.terminate()
        process.wait(60)
