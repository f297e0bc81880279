"""Installed next to a user's own Prefect project, whose folders have the names of ours.

Everything here runs as a process in a folder with `flows/`, `tasks.py` and `deployments/`, which
is also on PYTHONPATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client

import cvat_flows.deployments
from tests.support.live_prefect import LivePrefect
from tests.support.stack import Stack

PREFECT_FILE = Path(cvat_flows.deployments.__file__).with_name("prefect.yaml")

# Each says so if it is imported in place of ours.
USER_FILES = {
    "flows/__init__.py": "OWNER = 'user'",
    "flows/nightly.py": """
from cvat_flows import annotate_task_flow
from prefect import flow


@flow
def my_night(task_id: int, function: str) -> None:
    report = annotate_task_flow(task_id=task_id, function=function)
    print("annotated by the subflow:", report.count("annotated"))
""",
    "tasks.py": "OWNER = 'user'",
    "deployments/__init__.py": "OWNER = 'user'",
}


@pytest.fixture(scope="module")
def user_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user-project")
    for name, text in USER_FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def stack(
    user_project: Path,
    sandbox: Any,
    client: Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("user-stack")
    path = {"PYTHONPATH": str(user_project)}
    with LivePrefect.started(folder / "prefect", cwd=user_project, **path) as server:
        yield Stack(folder=folder, prefect=server, sandbox=sandbox, client=client)


def python(stack: Stack, code: str, *arguments: str) -> str:
    done = stack.prefect.run(sys.executable, "-c", code, *arguments, **stack.env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cvat_flows(stack: Stack, *arguments: str) -> None:
    done = stack.prefect.cvat_flows(*arguments, **stack.env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_project_has_its_own_modules(stack: Stack) -> None:
    code = (
        "import deployments, flows, tasks, cvat_flows\n"
        "from cvat_flows import annotate_task\n"
        "import cvat_flows.deployments, cvat_flows.flows, cvat_flows.tasks\n"
        "print(flows.OWNER, tasks.OWNER, deployments.OWNER, annotate_task.__module__)\n"
    )
    assert python(stack, code).split() == ["user"] * 3 + ["cvat_flows.flows.driver"]


def test_only_two_packages_are_importable_where_no_user_project_is(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u\n"
        "print([n for n in ('flows', 'tasks', 'deployments', 'tests', 'bench') if u.find_spec(n)])"
    )
    # -I: neither the working directory nor PYTHONPATH counts.
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_command_is_found(stack: Stack) -> None:
    code = """
import contextlib
from importlib.metadata import entry_points
from cvat_flows.flows.cli import main
for entry in entry_points(group="cvat_flows.commands"):
    with contextlib.suppress(SystemExit):
        main([entry.name, "--help"])
"""
    shown = python(stack, code)
    for entry in entry_points(group="cvat_flows.commands"):
        assert f"usage: cvat-flows {entry.name}" in shown


def test_a_worker_annotates_what_setup_deployed(stack: Stack) -> None:
    cvat_flows(stack, "setup", "--yes", "--gpus", "1")
    worker = stack.worker()
    project = stack.project("beside a user's project")
    task = stack.task(project, frames=3, jobs=1)
    run = stack.start_run("annotate-task", {"task_id": task.id, "function": str(stack.function)})
    assert stack.wait_for_run(run) == ("Completed", "3 of 3 frames annotated")
    assert worker.poll() is None
    project.remove()


def test_prefect_deploy_finds_the_flows(stack: Stack, user_project: Path) -> None:
    cvat_flows(stack, "setup", "--yes", "--gpus", "1")
    shutil.copy(PREFECT_FILE, user_project / "prefect.yaml")
    done = stack.prefect.run(
        sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", **stack.env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    known = stack.ask("deployments/name/annotate-task/annotate-task", method="GET")
    assert known["entrypoint"] == "cvat_flows.flows.prefect_flows.annotate_task_flow"


def test_a_subflow_runs_in_the_users_flow(stack: Stack) -> None:
    project = stack.project("a subflow")
    task = stack.task(project, frames=2, jobs=1)
    code = (
        "import sys\nfrom flows.nightly import my_night\nmy_night(int(sys.argv[1]), sys.argv[2])\n"
    )
    assert "annotated by the subflow: 2" in python(stack, code, str(task.id), str(stack.function))
    assert stack.is_annotated(task)
    project.remove()
