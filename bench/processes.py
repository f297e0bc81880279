"""Start the two command lines as a user does, in processes of their own."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from bench.stage import Stage


def cvat_cli(stage: Stage, task_id: int, function: Sequence[str]) -> Callable[[], float]:
    """Return a run of `cvat-cli task auto-annotate` that returns its seconds."""
    program = Path(sys.executable).with_name("cvat-cli")
    user, password = stage.sandbox.admin
    command = [
        *(str(program), "--server-host", stage.sandbox.url, "--auth", f"{user}:{password}"),
        *("task", "auto-annotate", str(task_id), *function, "--allow-unmatched-labels"),
    ]
    # A cache of its own for each run, as for ours: the SDK keeps chunks between runs.
    return lambda: run_process(
        command, environment({"XDG_CACHE_HOME": str(stage.fresh_storage() / "cache")})
    )


def cvat_flows(
    stage: Stage, task_id: int, function: Sequence[str], variables: dict[str, str] | None = None
) -> Callable[[], float]:
    """Return a run of `cvat-flows annotate` that returns its seconds."""
    command = flows_command(stage, task_id, function)
    return lambda: run_process(command, environment(account(stage) | (variables or {})))


def flows_command(stage: Stage, task_id: int, function: Sequence[str]) -> list[str]:
    """Return the command line of `cvat-flows annotate`."""
    start = [sys.executable, "-m", "cvat_flows.flows.cli", "annotate", str(task_id)]
    return [*start, *function, "--allow-unmatched-labels"]


def account(stage: Stage) -> dict[str, str]:
    """Return the variables that name the sandbox and its administrator."""
    user, password = stage.sandbox.admin
    return {"CVAT_HOST": stage.sandbox.url, "CVAT_USER": user, "CVAT_PASSWORD": password}


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Return the variables of a process: without a Prefect server, and with compiled sources.

    An installed package has its bytecode from pip. Here both command lines keep theirs in one
    folder, from their first run on, also if this environment keeps none.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name == "PREFECT_HOME" or "PREFECT" not in name) and name != "PYTHONDONTWRITEBYTECODE"
    }
    own = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONPYCACHEPREFIX": _bytecode_folder(),
    }
    return {**kept, **own, **variables}


@cache
def _bytecode_folder() -> str:
    folder = tempfile.TemporaryDirectory(prefix="cvat-flows-bench-")
    atexit.register(folder.cleanup)
    return folder.name


def run_process(command: Sequence[str], environment: dict[str, str]) -> float:
    """Run a command to its end, and return the seconds. Raises RuntimeError if it fails."""
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stderr[-500:]}")
    return seconds
