"""The runs that a sweep starts, as parts of the sweep in the Prefect UI.

Each has a task run in the sweep, so the sweep's page and graph link to it and show its state. A
sweep does not wait for its runs, which may take hours: a run that fails later fails its sweep.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from attrs import frozen
from prefect import Flow, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import flow_run as current_run
from prefect.states import Completed, Failed, Pending

from cvat_flows.flows.sweep.known_runs import UNSUCCESSFUL_STATES, in_states
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.tasks.model.text import on_one_line

SWEEP = "annotate-new-tasks"
"""Name of the flow."""
_PAGE = 200
_END_OF_SWEEP = 10.0
"""Seconds that a failed run waits for the end of its sweep, so that it is not overlooked."""
_FAILED_SINCE = "failed since: "


@frozen(kw_only=True)
class ChildRun:
    """A run of a deployment. `is_new` is false if an earlier request with the key started it."""

    run: FlowRun
    is_new: bool


def start_child_run(
    client: SyncPrefectClient,
    deployment_id: UUID,
    *,
    name: str,
    parameters: Mapping[str, Any],
    key: str,
) -> ChildRun:
    """Start a run as a part of the current flow run. Raises PrefectHTTPStatusError."""
    part = _add_part(client, name, key)
    try:
        run = client.create_flow_run_from_deployment(
            deployment_id,
            name=name,
            parameters=dict(parameters),
            idempotency_key=key,
            parent_task_run_id=part.id,
        )
    except PrefectHTTPStatusError as error:
        text = on_one_line(f"Prefect refused the run: {error}", 300)
        client.set_task_run_state(part.id, Failed(message=text), force=True)
        raise
    is_new = run.parent_task_run_id == part.id
    if not is_new:
        done: State[Any] = Completed(
            name="Skipped", message=f"the run {run.name} has been started before"
        )
        client.set_task_run_state(part.id, done, force=True)
    return ChildRun(run=run, is_new=is_new)


def _add_part(client: SyncPrefectClient, name: str, key: str) -> TaskRun:
    """Create the task run that stands for a run in the graph of the current one."""
    part: Task[Any, None] = Task(name="annotate-task", fn=lambda: None, task_run_name=name)
    part.task_key = f"{SWEEP}.annotate-task"
    return client.create_task_run(
        task=part,
        name=name,
        flow_run_id=UUID(str(current_run.id)),
        dynamic_key=f"{key}:{current_run.run_count}",
        state=Pending(),
    )


def mark_failed_runs(report: SweepReport) -> None:
    """Mark the tasks of a sweep whose runs have already failed, crashed or been cancelled."""
    ids = [row.run_id for row in report.rows if row.run_id]
    if not ids:
        return
    messages = {}
    with get_client(sync_client=True) as client:
        for first in range(0, len(ids), _PAGE):
            some = FlowRunFilter(
                id=FlowRunFilterId(any_=ids[first : first + _PAGE]),
                state=in_states(UNSUCCESSFUL_STATES),
            )
            for run in client.read_flow_runs(flow_run_filter=some, limit=_PAGE):
                if run.state is not None:
                    messages[run.id] = f"{run.state.name}: {run.state.message or ''}"
    report.mark_failed(messages)


def fail_sweep_of(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Fail the sweep that started a run, because the run has failed. Prefect calls this.

    A sweep that is still running sees it by itself at its end.
    """
    if flow_run.parent_task_run_id is None or flow_run.deployment_id is None:
        return
    with get_client(sync_client=True) as client:
        sweep_id = client.read_task_run(flow_run.parent_task_run_id).flow_run_id
        if sweep_id is None:
            return
        sweep = client.read_flow_run(sweep_id)
        if client.read_flow(sweep.flow_id).name != SWEEP:
            return
        end = time.monotonic() + _END_OF_SWEEP
        while not _is_final(sweep) and time.monotonic() < end:
            time.sleep(0.5)
            sweep = client.read_flow_run(sweep_id)
        name = flow_run.name
        message = (sweep.state.message if sweep.state else None) or ""
        if _is_final(sweep) and name not in message:
            separator = ", " if _FAILED_SINCE in message else f"; {_FAILED_SINCE}"
            failed: State[Any] = Failed(message=on_one_line(f"{message}{separator}{name}", 1000))
            client.set_flow_run_state(sweep_id, failed, force=True)


def _is_final(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()
