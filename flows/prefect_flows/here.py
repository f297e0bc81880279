"""Run flows in this process, and return what they return."""

from __future__ import annotations

from typing import Any, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import SettingsContext, get_settings_context
from prefect.flow_engine import run_flow as run_prefect_flow
from prefect.states import Scheduled
from pydantic import BaseModel

from cvat_flows.flows.finished import Finished, finished
from cvat_flows.flows.form import flow_parameters
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_flows.annotating import annotate_task_flow
from cvat_flows.flows.run.live import LiveInputs, use_live_inputs
from cvat_flows.flows.run.reporting.links import flow_run_url


def run_flow(parameters: AnnotateTaskParameters, inputs: LiveInputs) -> Finished:
    """Run `annotate-task` in this process. Never raises an error of the run."""
    with use_live_inputs(inputs), _no_heartbeats():
        state: Any = annotate_task_flow(**flow_parameters(parameters), return_state=True)
        return _finished(state)


def run_again_here(
    run: FlowRun, parameters: AnnotateTaskParameters, inputs: LiveInputs | None = None
) -> Finished:
    """Run a flow run that has ended once more. Never raises an error of the run."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Scheduled(message="Run again"), force=True)
        run = client.read_flow_run(run.id)
    # With heartbeats: the run may have sent some before, and an automation may wait for the next.
    with use_live_inputs(inputs or LiveInputs()):
        state = run_prefect_flow(
            annotate_task_flow,
            flow_run=run,
            parameters=flow_parameters(parameters),
            return_type="state",
        )
    return _finished(cast(State[Any], state))


def run_evaluation_flow(parameters: BaseModel, inputs: LiveInputs) -> Any:
    """Run the flow that takes these parameters, and return its report.

    Raises the error of a run that ended early.
    """
    from cvat_flows.flows.prefect_flows.evaluating import EVALUATION_FLOWS

    with use_live_inputs(inputs), _no_heartbeats():
        chosen = EVALUATION_FLOWS[type(parameters)]
        state: Any = chosen(**flow_parameters(parameters), return_state=True)
    result = result_of(state)
    if isinstance(result, BaseException):
        raise result
    return result


def _finished(state: State[Any]) -> Finished:
    run_id = str(state.state_details.flow_run_id or "")
    return finished(run_id, result_of(state), flow_run_url(run_id) if run_id else None)


def result_of(state: State[Any]) -> Any:
    """Return a flow's return value, or its exception.

    Without `_sync`, Prefect returns a coroutine if the caller has an event loop, as in a notebook.
    """
    result: Any = state.result
    return result(raise_on_failure=False, _sync=True)


def _no_heartbeats() -> SettingsContext:
    """Switch off the heartbeats of flow runs.

    They are for workers that may die unnoticed, and stopping them takes Prefect up to a second.
    Prefect's `temporary_settings` would do the same, but it reads all settings again.
    """
    now = get_settings_context()
    flows = now.settings.flows.model_copy(update={"heartbeat_frequency": None})
    settings = now.settings.model_copy(update={"flows": flows})
    return SettingsContext(profile=now.profile, settings=settings)
