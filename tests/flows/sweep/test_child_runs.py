"""The runs that a sweep starts in a deployment are parts of the sweep in the Prefect UI."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from cvat_sdk import Client, models
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.states import Completed, Crashed, Failed, Running

from cvat_flows.flows.prefect_flows import annotate_new_tasks_flow, annotate_task_flow
from cvat_flows.flows.sweep.child_runs import fail_sweep_of, mark_failed_runs
from cvat_flows.flows.sweep.listing import ListedTask
from cvat_flows.flows.sweep.report import SweepReport, SweepRow
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.cvat.client.settings import command_line_settings
from tests.support.identity import task_number

pytestmark = pytest.mark.usefixtures("storage_folder", "prefect_server")


@pytest.fixture
def prefect() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def rule(client: Client, sandbox: Any, function_file: Path) -> Iterator[dict[str, Any]]:
    """A rule for the tasks of a project of its own."""
    settings = ServerSettings(host=sandbox.url, username="admin", password="admin")
    token = command_line_settings.set(settings)
    project = client.projects.create(
        spec=models.ProjectWriteRequest(
            name="lorries", labels=[models.PatchedLabelRequest(name="car")]
        )
    )
    yield {"projects": [str(project.id)], "function": str(function_file)}
    project.remove()
    command_line_settings.reset(token)


def sweep(rule: dict[str, Any]) -> State[Any]:
    return annotate_new_tasks_flow(rules=[rule], run_in="deployment", return_state=True)


def children(prefect: SyncPrefectClient, state: State[Any]) -> list[FlowRun]:
    """Return the runs that Prefect shows as parts of a sweep."""
    parent = FlowRunFilterParentFlowRunId(any_=[sweep_id(state)])
    return prefect.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parent))


def sweep_id(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id


def parts(prefect: SyncPrefectClient, state: State[Any]) -> dict[str, str]:
    """Return the state of each part of a sweep's graph, by name."""
    runs = prefect.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[sweep_id(state)]))
    )
    return {run.name: run.state.name for run in runs if run.state}


def end(prefect: SyncPrefectClient, run: FlowRun, state: State[Any]) -> None:
    """End a run as a worker does: its state, then the flow's hook."""
    prefect.set_flow_run_state(run.id, state, force=True)
    if state.is_failed():
        fail_sweep_of(annotate_task_flow, prefect.read_flow_run(run.id), state)


def test_the_sweep_shows_its_runs_and_fails_with_them(
    prefect: SyncPrefectClient, rule: dict[str, Any], make_task: Any
) -> None:
    prefect.create_deployment(flow_id=prefect.create_flow(annotate_task_flow), name="annotate-task")
    project_id = int(rule["projects"][0])
    tasks = [make_task(count=1, project_id=project_id) for _ in range(3)]
    names = [f'annotate {task.id} "{task.name}"' for task in tasks]
    state = sweep(rule)
    assert (state.name, state.message) == ("Completed", "3 handed over")
    runs = {run.name: run for run in children(prefect, state)}
    assert sorted(runs) == sorted(names)
    assert set(parts(prefect, state)) >= set(names)
    # A second sweep finds them under way, and has no part of its own.
    again = sweep(rule)
    assert again.message == "3 under way"
    assert children(prefect, again) == []

    end(prefect, runs[names[0]], Completed())
    end(prefect, runs[names[1]], Failed(message="1 of 1 frame failed"))
    end(prefect, runs[names[2]], Failed(message="1 of 1 frame failed"))
    # The graph shows the states of the runs.
    shown = parts(prefect, state)
    assert [shown[name] for name in names] == ["Completed", "Failed", "Failed"]
    ended = prefect.read_flow_run(sweep_id(state)).state
    assert ended is not None
    assert ended.name == "Failed"
    assert ended.message == f"3 handed over; failed since: {names[1]}, {names[2]}"
    other = prefect.read_flow_run(sweep_id(again)).state
    assert other is not None
    assert other.is_completed()


def test_only_sweeps_fail_with_the_runs_that_they_started(prefect: SyncPrefectClient) -> None:
    @flow
    def of_a_user() -> UUID:

        made: Any = run_deployment("annotate-task/for-a-user", {"task_id": 1}, timeout=0)
        return UUID(str(made.id))

    prefect.create_deployment(flow_id=prefect.create_flow(annotate_task_flow), name="for-a-user")
    state: State[Any] = of_a_user(return_state=True)
    run = prefect.read_flow_run(state.result())
    assert run.parent_task_run_id is not None
    end(prefect, run, Failed(message="1 of 1 frame failed"))
    ended = prefect.read_flow_run(sweep_id(state)).state
    assert ended is not None
    assert ended.is_completed()


def test_runs_that_fail_before_the_sweep_ends_are_marked(
    prefect: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    @flow
    def part() -> None: ...

    endings = [
        Completed(),
        Failed(message="1 of 1 frame failed"),
        Crashed(message="the machine went off"),
        Running(),
    ]
    runs = [prefect.create_flow_run(part, state=state) for state in endings]
    task = ListedTask(
        identity=task_number(7),
        updated=datetime(2026, 1, 1, tzinfo=UTC),
        name="drive",
        frames=1,
        dimension="2d",
        project_id=None,
        url="",
    )
    row = SweepRow(task=task, rule="1", outcome="handed over")
    report = SweepReport(rows=[row, *(evolve(row, run_id=run.id) for run in runs)])
    monkeypatch.setattr("cvat_flows.flows.sweep.child_runs._PAGE", 2)  # they are on two pages
    mark_failed_runs(report)
    assert [(one.outcome, one.text) for one in report.rows] == [
        ("handed over", ""),
        ("handed over", ""),
        ("failed", "Failed: 1 of 1 frame failed"),
        ("failed", "Crashed: the machine went off"),
        ("handed over", ""),
    ]
    assert report.failed
