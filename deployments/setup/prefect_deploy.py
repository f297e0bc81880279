"""Run `prefect deploy` for some deployments."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from prefect.settings import get_current_settings

from cvat_flows.deployments.setup.changes import SetupError

_DEPLOY_ALL = (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all")


class DeployBatch:
    """Deployments that one `prefect deploy` makes, because it takes seconds to start."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []

    def add(self, entry: dict[str, Any]) -> Callable[[], None]:
        """Add a deployment. The first call of any returned function deploys the whole batch."""
        self._entries.append(entry)
        return self._deploy

    def _deploy(self) -> None:
        entries, self._entries = self._entries, []
        if entries:
            deploy(entries)


def deploy(entries: list[dict[str, Any]]) -> None:
    """Create or update deployments, given as entries of a prefect.yaml. Raises SetupError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(yaml.safe_dump({"name": "cvat-flows", "pull": [], "deployments": entries}))
        done = subprocess.run(
            [*_DEPLOY_ALL, "--prefect-file", str(path)],
            env={**os.environ, **_current_settings()},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise SetupError(f"`prefect deploy` failed: {output[-500:]}")


def _current_settings() -> dict[str, str]:
    """This process's Prefect settings, which may come from a profile or a test."""
    return get_current_settings().to_environment_variables(exclude_unset=True, include_secrets=True)
