"""Run the conformance suite, which a real CVAT passes, on the sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cvat_flows.deployments.sandbox.process import SandboxProcess

SUITE = Path(__file__).parents[4] / "shared" / "cvat_conformance"
TIMEOUT_S = 600


@pytest.mark.skipif(not SUITE.is_dir(), reason="the conformance suite is not beside this checkout")
@pytest.mark.parametrize(
    ("quirks", "selected"),
    [
        pytest.param(True, "", id="all checks, with quirks"),
        pytest.param(False, "not (webhooks or quirks)", id="without quirks"),
    ],
)
def test_the_conformance_suite_passes(tmp_path: Path, quirks: bool, selected: str) -> None:
    with SandboxProcess(tmp_path / "data", quirks=quirks) as sandbox:
        (user, password), (worker, worker_password) = sandbox.admin, sandbox.worker
        accounts = {"CVAT_USER": user, "CVAT_PASSWORD": password, "CVAT_WORKER_USER": worker}
        environment = {**os.environ, **accounts, "CVAT_WORKER_PASSWORD": worker_password}
        run = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-m", selected, str(SUITE)),
                # Without this project's configuration, and without writing files beside the suite.
                *("-c", os.devnull, "--rootdir", str(SUITE), "-p", "no:cacheprovider"),
            ],
            env={**environment, "CVAT_URL": sandbox.url, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout
