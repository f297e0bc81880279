"""`cvat-flows ui`: a Prefect server on a laptop, with the settings that `doctor` wants."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cvat_flows.deployments.listening import free_port
from cvat_flows.deployments.local_server import ServerDidNotStart, server_environment
from cvat_flows.deployments.ui_server import run_server
from cvat_flows.flows.commands.base.usage_error import UsageError

CLI = [sys.executable, "-m", "cvat_flows.flows.cli"]


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    return {**kept, "PREFECT_HOME": str(home)}


def test_the_server_has_what_doctor_wants_and_ends_with_the_command(tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen(
        [*CLI, "ui", "--port", str(port)],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            assert command.stdout is not None
            lines = [command.stdout.readline() for _ in range(2)]
            assert lines[0].startswith(f"Prefect's UI is at http://127.0.0.1:{port}.")
            name, _, url = lines[1].removeprefix("  export ").strip().partition("=")
            checked = subprocess.run(
                [*CLI, "doctor", "--only", "prefect", "--json"],
                env={**environment(tmp_path), name: url},
                capture_output=True,
                text=True,
                check=False,
            )
            found = [json.loads(line) for line in checked.stdout.splitlines()]
            assert found, checked.stderr
            # The disk may be full, which is not for this test.
            assert [
                one for one in found if one["level"] != "ok" and "folder" not in one["what"]
            ] == []
        finally:
            command.send_signal(signal.SIGINT)
            status = command.wait(60)
    assert status == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: another program listens there"):
            run_server(port, lambda: None)
    with pytest.raises(UsageError, match="from 1 to 65535"):
        run_server(70000, lambda: None)


def test_a_server_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setattr("cvat_flows.deployments.local_server.sys.executable", "/bin/false")
    with pytest.raises(ServerDidNotStart, match="see its log"):
        run_server(free_port(), lambda: None)


def test_own_settings_count_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE", "7")
    settings = server_environment("http://127.0.0.1:4300")
    assert settings["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4300/api"
    assert settings["PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE"] == "7"
    assert "PREFECT_API_URL" not in settings
