"""Six CVAT tasks, half by webhook and half by sweep, while a worker is killed and a server stopped.

Once with PostgreSQL, Redis, two API servers, the services apart and two workers; once with SQLite,
one server and one worker, both of which come back.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from attrs import define, field
from cvat_sdk import Client

from tests.support.live_prefect import LivePrefect
from tests.support.scaled_prefect import missing, scaled_prefect
from tests.support.stack import Stack
from tests.support.waiting import wait_until

DIED = "cvat-flows · runs whose worker died"
HEARTBEATS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


@pytest.mark.scale
def test_many_machines_lose_a_worker_and_a_server(
    sandbox: Any, client: Client, tmp_path: Path
) -> None:
    if reason := missing():
        pytest.skip(reason)
    with scaled_prefect(tmp_path / "prefect") as prefect:
        stack = Stack(
            folder=tmp_path, prefect=prefect, sandbox=sandbox, client=client, env=HEARTBEATS
        )
        season = Season(stack=stack)
        doomed = season.begin("doomed", "survivor")
        kill_tree(doomed.pid)
        prefect.processes[0].send_signal(signal.SIGTERM)
        season.end()


@pytest.mark.slow
def test_one_machine_loses_its_worker_and_its_server(
    sandbox: Any, client: Client, tmp_path: Path
) -> None:
    with LivePrefect.started(tmp_path / "prefect") as prefect:
        stack = Stack(
            folder=tmp_path, prefect=prefect, sandbox=sandbox, client=client, env=HEARTBEATS
        )
        season = Season(stack=stack)
        doomed = season.begin("doomed")
        kill_tree(doomed.pid)
        prefect.restart_server()
        stack.worker("--name", "successor", "--limit", "2")
        season.end()


@define(kw_only=True)
class Season:
    """What happens at an installation, and what must have come of it."""

    stack: Stack
    tasks: list[Any] = field(factory=list)
    rules: list[dict[str, Any]] = field(factory=list)
    projects: list[Any] = field(factory=list)

    def begin(self, doomed: str, *others: str) -> Any:
        """Set up, let six tasks appear, and wait until the worker that is to be lost detects."""
        stack = self.stack
        stack.cvat_flows("setup", "--yes", "--gpus", "4")
        self.projects = [stack.project("prompt"), stack.project("nightly")]
        options = {"function_parameters": {"seconds": 0.6}, "options": {"frames_per_run": 5}}
        self.rules = [stack.rule(project, **options) for project in self.projects]
        url = stack.receiver(self.rules)
        stack.cvat_flows("setup", "--yes", "--webhook", "prompt", "--webhook-url", url)
        look_for_the_dead_sooner(stack)
        worker = stack.worker("--name", doomed, "--limit", "2")
        for name in others:
            stack.worker("--name", name, "--limit", "2")
        for project in self.projects:
            self.tasks += [stack.task(project, frames=30, jobs=3) for _ in range(3)]
        assert self.sweep(self.rules[1:]) == ("Completed", "3 handed over")
        wait_until(lambda: at_work(stack, doomed), what="the runs detect", story=stack.story)
        return worker

    def end(self) -> None:
        """Wait for what died with the worker, sweep up, and look at everything."""
        stack = self.stack
        dead = wait_for_the_dead(stack)
        state, message = self.sweep(self.rules)
        assert state == "Completed", message
        stack.wait_for(self.tasks)
        runs = stack.runs("annotate-task")
        for run in runs:
            stack.wait_for_run(run["id"])
        assert {stack.state_of(run["id"])[0] for run in runs} == {"Completed", "Crashed"}
        assert {stack.state_of(run)[1] for run in dead} == {
            "No heartbeat for ten minutes. Its worker died or lost the connection to Prefect."
        }
        wait_until(lambda: slots_in_use(stack) == 0, what="no slot is stuck")
        assert all(stack.is_annotated(task) for task in self.tasks)
        assert self.sweep(self.rules) == ("Completed", "nothing new: 6 done before")
        for project in self.projects:
            project.remove()

    def sweep(self, rules: list[dict[str, Any]]) -> tuple[str, str]:
        return self.stack.wait_for_run(
            self.stack.start_run("annotate-new-tasks", {"rules": rules, "run_in": "deployment"})
        )


def look_for_the_dead_sooner(stack: Stack) -> None:
    """Ten minutes are right for an installation and too long for a test."""
    (automation,) = [one for one in stack.ask("automations/filter", {}) if one["name"] == DIED]
    automation["trigger"]["within"] = 65
    wanted = ("name", "description", "enabled", "trigger", "actions")
    stack.ask(
        f"automations/{automation['id']}",
        {key: automation[key] for key in wanted},
        method="PUT",
    )


def at_work(stack: Stack, worker: str) -> bool:
    """Whether a run of the worker has detected for a while: its events have been recorded."""
    runs = [run for run in stack.runs("annotate-task") if run["state"]["type"] == "RUNNING"]
    mine = [run for run in runs if run["labels"].get("prefect.worker.name") == worker]
    return bool(mine) and all(run["estimated_run_time"] > 6 for run in mine)


def kill_tree(pid: int) -> None:
    """Kill a worker and its flow runs as a power cut would."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        process.kill()


def wait_for_the_dead(stack: Stack) -> list[str]:
    """Ids of the runs that died with the worker, once Prefect knows."""

    def crashed() -> list[str]:
        runs = stack.runs("annotate-task")
        return [run["id"] for run in runs if run["state"]["type"] == "CRASHED"]

    def settled() -> bool:
        active = {"SCHEDULED", "PENDING", "RUNNING"}
        runs = stack.runs("annotate-task")
        return bool(crashed()) and not [r for r in runs if r["state"]["type"] in active]

    wait_until(
        settled,
        what="the dead runs are found, the others end",
        story=stack.story,
    )
    return crashed()


def slots_in_use(stack: Stack) -> int:
    return int(stack.ask("v2/concurrency_limits/tag:gpu", method="GET")["active_slots"])
