"""Some of `make chaos`, with fixed seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("first_seed", "seconds"), [(1, 25), pytest.param(10_001, 100, marks=pytest.mark.slow)]
)
def test_uploads_survive_faults_and_kills(first_seed: int, seconds: int) -> None:
    """Run schedules. On failure the output names the seeds that repeat it."""
    options = {"--seed": first_seed, "--seconds": seconds, "--schedules": 10_000}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "tests.chaos", "--quiet", *words]
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
