"""The flow that finds new CVAT tasks and annotates them."""

# No `from __future__ import annotations` here: `serve` sends a flow to another process by value,
# and there the names in string annotations are not found.

from collections.abc import Mapping
from typing import Any

from prefect import flow
from prefect.states import Failed

from cvat_flows.flows.annotate_new import SweepFailed, sweep
from cvat_flows.flows.form import flow_parameters, read_parameters, takes_fields_of
from cvat_flows.flows.prefect_flows.ending import ended
from cvat_flows.flows.prefect_flows.here import result_of, run_flow
from cvat_flows.flows.sweep.child_runs import mark_failed_runs
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.tasks.model.text import escape_markdown
from cvat_flows.tasks.reports.artifacts import add_markdown


@flow(
    name="annotate-new-tasks",
    description="Find new CVAT tasks and annotate them.",
    flow_run_name="look for new CVAT tasks",
    persist_result=False,
)
@takes_fields_of(AnnotateNewTasksParameters)
def annotate_new_tasks_flow(parameters: Mapping[str, Any]) -> Any:
    """Find new CVAT tasks and annotate them. If one fails, the others are still annotated.

    With `run_in="deployment"` each task gets a run of its own, and the sweep does not wait for it.
    A run that fails later makes the sweep's state Failed.

    A task is new if no manifest says that the rule's function has processed its frames. Tasks
    without data wait for the next sweep. Tasks whose import failed are reported.

    The flow takes the fields of `AnnotateNewTasksParameters` by name.

    Returns:
        A `SweepReport`.

    Raises:
        SweepFailed: A task or a rule failed. The error has the report.
        CvatFlowsError: The sweep could not start. The error says what to do.

    >>> rule = SweepRule(task_name="street*", function="shapes")
    >>> report = annotate_new_tasks_flow(rules=[rule], dry_run=True)
    >>> report.sentence
    '1 would be annotated'
    """
    state = ended(lambda: _sweep(read_parameters(AnnotateNewTasksParameters, parameters)))
    report = state.data
    if isinstance(report, SweepReport) and report.failed:
        return Failed(message=state.message, data=SweepFailed(report))
    return state


def _sweep(parameters: AnnotateNewTasksParameters) -> SweepReport:
    report = sweep(parameters, run_flow)
    mark_failed_runs(report)
    add_markdown(
        report.markdown(),
        key="annotate-new-tasks",
        description=escape_markdown(report.sentence.partition(" (task ")[0], 300),
    )
    return report


def run_sweep_flow(parameters: AnnotateNewTasksParameters) -> SweepReport:
    """Run `annotate-new-tasks` here. Raises the error of a sweep that could not start."""
    state: Any = annotate_new_tasks_flow(**flow_parameters(parameters), return_state=True)
    result = result_of(state)
    if isinstance(result, SweepFailed):
        return result.report
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, SweepReport)
    return result
