"""The flows that annotate one CVAT task."""

# No `from __future__ import annotations` here: `serve` sends a flow to another process by value,
# and there the names in string annotations are not found.

from collections.abc import Mapping
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from cvat_flows.flows.annotate import annotate
from cvat_flows.flows.form import read_parameters, takes_fields_of
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_flows.ending import RUNNER, ended
from cvat_flows.flows.run.reporting.hooks import log_how_to_continue
from cvat_flows.flows.split.detect_jobs import DetectJobsParameters, detect_jobs
from cvat_flows.flows.sweep.child_runs import fail_sweep_of
from cvat_flows.tasks.model.text import counted


@flow(
    name="annotate-task",
    description="Annotate one CVAT task. Good frames are uploaded; each bad one appears as a "
    "failed task run.",
    flow_run_name="annotate task {task_id}",
    task_runner=RUNNER,
    persist_result=False,
    on_failure=[fail_sweep_of],
    on_crashed=[log_how_to_continue, fail_sweep_of],
    on_cancellation=[log_how_to_continue],
)
@takes_fields_of(AnnotateTaskParameters)
def annotate_task_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Annotate one CVAT task.

    Good frames are uploaded; each bad one appears as a failed task run.

    The flow takes the fields of `AnnotateTaskParameters` by name. Those that are rarely needed are
    in the mapping `advanced`.

    Returns:
        A `RunReport`.

    Raises:
        FramesFailed: Some frames failed. The error has the report.
        CvatFlowsError: The run could not start or finish. The error says what to do.
        FunctionReferenceError: The function cannot be loaded.

    >>> report = annotate_task_flow(
    ...     task_id=task_id,
    ...     function="shapes",
    ...     dry_run=True,
    ...     advanced={"frames": "0"},
    ... )
    >>> report.sentence
    '1 of 1 frame would be annotated'
    """
    return ended(lambda: annotate(read_parameters(AnnotateTaskParameters, parameters)))


@flow(name="detect-jobs", task_runner=RUNNER, persist_result=False)
def detect_jobs_flow(parameters: DetectJobsParameters) -> State[Any]:
    """Detect on some jobs of a CVAT task that a main run annotates with split='jobs'."""
    return ended(
        lambda: detect_jobs(parameters),
        lambda plan: f"processed {counted(plan.frame_count, 'frame')}",
    )
