"""Annotate six CVAT tasks while a worker is killed and a Prefect server is stopped.

Three tasks come by webhook and three by the sweep. One test uses PostgreSQL, Redis, two API servers
and two workers; the other uses SQLite, and restarts its server and its worker.
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

CRASH_AUTOMATION = "cvat-flows · runs whose worker died"
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
        scenario = Scenario(stack=stack)
        worker = scenario.begin("killed", "survivor")
        kill_tree(worker.pid)
        prefect.processes[0].send_signal(signal.SIGTERM)
        scenario.end()


@pytest.mark.slow
def test_one_machine_loses_its_worker_and_its_server(
    sandbox: Any, client: Client, tmp_path: Path
) -> None:
    with LivePrefect.started(tmp_path / "prefect") as prefect:
        stack = Stack(
            folder=tmp_path, prefect=prefect, sandbox=sandbox, client=client, env=HEARTBEATS
        )
        scenario = Scenario(stack=stack)
        worker = scenario.begin("killed")
        kill_tree(worker.pid)
        prefect.restart_server()
        stack.worker("--name", "successor", "--limit", "2")
        scenario.end()


@define(kw_only=True)
class Scenario:
    """Six CVAT tasks in two projects, and the checks of how they end."""

    stack: Stack
    tasks: list[Any] = field(factory=list)
    rules: list[dict[str, Any]] = field(factory=list)
    projects: list[Any] = field(factory=list)

    def begin(self, first_worker: str, *other_workers: str) -> Any:
        """Set up, create the tasks, and return the first worker once its runs detect."""
        stack = self.stack
        stack.cvat_flows("setup", "--yes", "--gpus", "4")
        # Named after the test: one that fails leaves its projects.
        self.projects = [stack.project(f"{n} {stack.folder.name}") for n in ("prompt", "nightly")]
        options = {"function_parameters": {"seconds": 0.6}, "options": {"frames_per_run": 5}}
        self.rules = [stack.rule(project, **options) for project in self.projects]
        stack.set_rules(*self.rules)
        url = stack.receiver().url
        prompt = self.projects[0].name
        stack.cvat_flows("setup", "--yes", "--webhook", prompt, "--webhook-url", url)
        shorten_crash_detection(stack)
        worker = stack.worker("--name", first_worker, "--limit", "2")
        for name in other_workers:
            stack.worker("--name", name, "--limit", "2")
        for project in self.projects:
            self.tasks += [stack.task(project, frames=30, jobs=3) for _ in range(3)]
        assert self.sweep(self.rules[1:]) == ("Completed", "3 handed over")
        # A sweep that is killed would hold the one slot for minutes.
        wait_until(
            lambda: len(stack.runs("annotate-task")) == 6,
            what="the receiver's sweep has handed its tasks over",
            describe=stack.describe_runs,
        )
        wait_until(
            lambda: is_detecting(stack, first_worker),
            what="the runs detect",
            describe=stack.describe_runs,
        )
        return worker

    def end(self) -> None:
        """Wait for the crashed runs, sweep again, and check that every frame is annotated once."""
        stack = self.stack
        crashed = wait_for_crashed_runs(stack)
        state, message = self.sweep(self.rules)
        assert state == "Completed", message
        stack.wait_for(self.tasks)
        runs = stack.runs("annotate-task")
        for run in runs:
            stack.wait_for_run(run["id"])
        ends = {stack.state_of(run["id"])[0] for run in runs}
        assert ends == {"Completed", "Crashed"}, stack.describe_runs()
        assert {stack.state_of(run)[1] for run in crashed} == {
            "No heartbeat for ten minutes. Its worker died or lost the connection to Prefect."
        }
        wait_until(lambda: slots_in_use(stack) == 0, what="every slot is released")
        assert all(stack.is_annotated(task) for task in self.tasks)
        assert self.sweep(self.rules) == ("Completed", "nothing new: 6 done before")
        for project in self.projects:
            project.remove()

    def sweep(self, rules: list[dict[str, Any]]) -> tuple[str, str]:
        return self.stack.wait_for_run(
            self.stack.start_run("annotate-new-tasks", {"rules": rules, "run_in": "deployment"})
        )


def shorten_crash_detection(stack: Stack) -> None:
    """Mark dead runs as crashed after 65 s in place of ten minutes."""
    (automation,) = [
        one for one in stack.ask("automations/filter", {}) if one["name"] == CRASH_AUTOMATION
    ]
    automation["trigger"]["within"] = 65
    wanted = ("name", "description", "enabled", "trigger", "actions")
    stack.ask(
        f"automations/{automation['id']}",
        {key: automation[key] for key in wanted},
        method="PUT",
    )


def is_detecting(stack: Stack, worker: str) -> bool:
    """Whether the runs of the worker have detected for 6 s, so that their events are recorded."""
    runs = [run for run in stack.runs("annotate-task") if run["state"]["type"] == "RUNNING"]
    mine = [run for run in runs if run["labels"].get("prefect.worker.name") == worker]
    return bool(mine) and all(run["estimated_run_time"] > 6 for run in mine)


def kill_tree(pid: int) -> None:
    """Kill a worker and its flow runs, as a power cut would."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        process.kill()


def wait_for_crashed_runs(stack: Stack) -> list[str]:
    """Wait until Prefect has marked the killed runs and the others have ended. Returns run IDs."""

    def crashed() -> list[str]:
        runs = stack.runs("annotate-task")
        return [run["id"] for run in runs if run["state"]["type"] == "CRASHED"]

    def settled() -> bool:
        active = {"SCHEDULED", "PENDING", "RUNNING"}
        runs = stack.runs("annotate-task")
        return bool(crashed()) and not [r for r in runs if r["state"]["type"] in active]

    wait_until(
        settled,
        what="the killed runs are marked, the others end",
        describe=stack.describe_runs,
    )
    return crashed()


def slots_in_use(stack: Stack) -> int:
    return int(stack.ask("v2/concurrency_limits/tag:gpu", method="GET")["active_slots"])
