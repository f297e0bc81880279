"""A fixture that runs a command line against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main


@pytest.fixture
def cli(
    sandbox: SandboxProcess,
    function_file: Path,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """`cli("annotate", 1, "--dry-run")` returns exit status, standard output and standard error."""
    monkeypatch.setenv("CVAT_HOST", sandbox.url)
    monkeypatch.setenv("CVAT_USER", "admin")
    monkeypatch.setenv("CVAT_PASSWORD", "admin")
    monkeypatch.setenv("COLUMNS", "200")

    def run(command: str, *arguments: object, function: bool = True) -> tuple[int, str, str]:
        named = ["--function-file", str(function_file)] if function else []
        status = main([command, *map(str, arguments), *named])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
