"""Two minutes of `make chaos`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_uploads_survive_faults_and_kills() -> None:
    """Prints schedules, faults and kills; on failure the seeds that repeat it."""
    command = [sys.executable, "-m", "tests.chaos", "--seconds", "100", "--quiet"]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout
    assert " 0 duplicates, 0 losses" in run.stdout
