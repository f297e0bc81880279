"""The flows that say how good detections are, and what became of uploaded annotations."""

# No `from __future__ import annotations` here: `serve` sends a flow to another process by value,
# and there the names in string annotations are not found.

from collections.abc import Mapping
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from pydantic import BaseModel

from cvat_flows.flows.evaluation.compare import compare_functions
from cvat_flows.flows.evaluation.evaluate import evaluate
from cvat_flows.flows.evaluation.parameters import (
    CompareFunctionsParameters,
    EvaluateTaskParameters,
    RankFramesParameters,
)
from cvat_flows.flows.evaluation.rank import rank
from cvat_flows.flows.evaluation.review import review_finished_tasks, review_task
from cvat_flows.flows.evaluation.review_parameters import (
    ReviewFinishedTasksParameters,
    ReviewTaskParameters,
)
from cvat_flows.flows.form import read_parameters, takes_fields_of
from cvat_flows.flows.prefect_flows.ending import RUNNER, ended


@flow(
    name="evaluate-task",
    description="Compare a function's detections with people's annotations of one CVAT task. "
    "Nothing is written to CVAT.",
    flow_run_name="evaluate task {task_id}",
    task_runner=RUNNER,
    persist_result=False,
)
@takes_fields_of(EvaluateTaskParameters)
def evaluate_task_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Compare a function's detections with people's annotations of one CVAT task.

    The flow takes the fields of `EvaluateTaskParameters` by name.

    Returns:
        An `EvaluationReport`.

    Raises:
        CvatFlowsError: There is nothing to compare. The error says what to do.
        FunctionReferenceError: The function cannot be loaded.

    >>> report = evaluate_task_flow(
    ...     task_id=task_id, function="shapes", truth_file=truth_file
    ... )
    >>> report.sentence.partition(",")[0]
    'precision 1.000'
    """
    return ended(lambda: evaluate(read_parameters(EvaluateTaskParameters, parameters)))


@flow(
    name="compare-functions",
    description="Compare two functions on the same frames of one CVAT task. Nothing is written to "
    "CVAT.",
    flow_run_name="compare functions on {task_id}",
    task_runner=RUNNER,
    persist_result=False,
)
@takes_fields_of(CompareFunctionsParameters)
def compare_functions_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Compare two functions on the same frames of one CVAT task."""
    return ended(lambda: compare_functions(read_parameters(CompareFunctionsParameters, parameters)))


@flow(
    name="rank-frames",
    description="Rank the frames of one CVAT task by the doubts that detections raise. Nothing but "
    "issues is written to CVAT, and only if they are asked for.",
    flow_run_name="rank frames of task {task_id}",
    task_runner=RUNNER,
    persist_result=False,
)
@takes_fields_of(RankFramesParameters)
def rank_frames_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Rank the frames of one CVAT task: which a person should correct first.

    The flow takes the fields of `RankFramesParameters` by name.
    """
    return ended(lambda: rank(read_parameters(RankFramesParameters, parameters)))


@flow(
    name="review-task",
    description="Say what became of the annotations that were uploaded to one CVAT task.",
    flow_run_name="review {task_id}",
    task_runner=RUNNER,
    persist_result=False,
)
@takes_fields_of(ReviewTaskParameters)
def review_task_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Say what became of the annotations that were uploaded to one CVAT task."""
    return ended(lambda: review_task(read_parameters(ReviewTaskParameters, parameters)))


@flow(
    name="review-finished-tasks",
    description="Say what became of uploaded annotations in all jobs that people have finished.",
    flow_run_name="review finished tasks",
    persist_result=False,
)
@takes_fields_of(ReviewFinishedTasksParameters)
def review_finished_tasks_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Say what became of uploaded annotations in all jobs that people have finished."""
    return ended(
        lambda: review_finished_tasks(read_parameters(ReviewFinishedTasksParameters, parameters))
    )


EVALUATION_FLOWS: Mapping[type[BaseModel], Flow[..., Any]] = {
    EvaluateTaskParameters: evaluate_task_flow,
    CompareFunctionsParameters: compare_functions_flow,
    RankFramesParameters: rank_frames_flow,
    ReviewTaskParameters: review_task_flow,
    ReviewFinishedTasksParameters: review_finished_tasks_flow,
}
"""The flow that takes the fields of each parameter model."""
