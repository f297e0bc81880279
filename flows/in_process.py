"""Run the flow `annotate-task` in the caller's process."""

from __future__ import annotations

from typing import Any, cast

from attrs import frozen
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import SettingsContext, get_settings_context
from prefect.flow_engine import run_flow
from prefect.states import Scheduled

from cvat_flows.flows.annotate import FramesFailed, annotate_task_flow
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.links import run_url
from cvat_flows.flows.run.live import LiveInputs, use_live_inputs
from cvat_flows.tasks.reports.run_report import RunReport


@frozen(kw_only=True)
class Finished:
    """How a run ended."""

    report: RunReport | None
    """None if the run ended before its first frame."""
    error: BaseException | None
    state: State[Any]

    @property
    def url(self) -> str | None:
        """Address of the run in the Prefect UI; None without a Prefect server."""
        return run_url(self.state)

    def report_or_raise(self) -> RunReport:
        """Return the report. Raises the error of a run that ended before its first frame."""
        if self.report is None:
            raise self.error or RuntimeError("the flow ended without a report")
        return self.report


def run_here(parameters: AnnotateTaskParameters, inputs: LiveInputs | None = None) -> Finished:
    """Run the flow. Never raises an error of the run; see `Finished.error`."""
    with use_live_inputs(inputs or LiveInputs()), _no_heartbeats():
        state = cast(State[Any], annotate_task_flow(parameters, return_state=True))
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
        state = run_flow(
            annotate_task_flow,
            flow_run=run,
            parameters={"parameters": parameters},
            return_type="state",
        )
    return _finished(cast(State[Any], state))


def result_of(state: State[Any]) -> Any:
    """Return a flow's return value, or its exception.

    Without `_sync`, Prefect returns a coroutine if the caller has an event loop, as in a notebook.
    """
    result: Any = state.result
    return result(raise_on_failure=False, _sync=True)


def _finished(state: State[Any]) -> Finished:
    result = result_of(state)
    error = result if isinstance(result, BaseException) else None
    report = result.report if isinstance(result, FramesFailed) else result
    return Finished(
        report=report if isinstance(report, RunReport) else None, error=error, state=state
    )


def _no_heartbeats() -> SettingsContext:
    """Switch off the heartbeats of flow runs.

    They are for workers that may die unnoticed, and stopping them takes Prefect up to a second.
    Prefect's `temporary_settings` would do the same, but it reads all settings again.
    """
    now = get_settings_context()
    flows = now.settings.flows.model_copy(update={"heartbeat_frequency": None})
    settings = now.settings.model_copy(update={"flows": flows})
    return SettingsContext(profile=now.profile, settings=settings)
