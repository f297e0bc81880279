"""The Prefect flows: what a deployment, a worker or your own flow runs.

Without a Prefect server, `in_process.py` runs the same steps in threads.
"""

# No `from __future__ import annotations` here: `serve` sends a flow to another process by value,
# and there the names in string annotations are not found.

from collections.abc import Mapping
from typing import Any, cast

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import SettingsContext, get_settings_context
from prefect.flow_engine import run_flow as run_prefect_flow
from prefect.states import Completed, Failed, Scheduled
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from aa_functions.reference import FunctionReferenceError
from cvat_flows.flows.annotate import annotate
from cvat_flows.flows.annotate_new import SweepFailed, sweep
from cvat_flows.flows.compare import compare_functions
from cvat_flows.flows.evaluate import evaluate
from cvat_flows.flows.evaluation.parameters import (
    CompareFunctionsParameters,
    EvaluateTaskParameters,
    RankFramesParameters,
)
from cvat_flows.flows.evaluation.review_parameters import (
    ReviewFinishedTasksParameters,
    ReviewTaskParameters,
)
from cvat_flows.flows.finished import Finished, finished
from cvat_flows.flows.form import flow_parameters, read_parameters, takes_fields_of
from cvat_flows.flows.maintain import MaintainParameters, maintain, sentence
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.rank import rank
from cvat_flows.flows.review import review_finished_tasks, review_task
from cvat_flows.flows.run.detect import THREADS
from cvat_flows.flows.run.hooks import log_how_to_continue
from cvat_flows.flows.run.links import flow_run_url
from cvat_flows.flows.run.live import LiveInputs, use_live_inputs
from cvat_flows.flows.split.detect_jobs import DetectJobsParameters, detect_jobs
from cvat_flows.flows.sweep.child_runs import fail_sweep_of, mark_failed_runs
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.flows.sweep.rules import AnnotateNewTasksParameters
from cvat_flows.tasks.engine.current import use_engine
from cvat_flows.tasks.engine.recorded import RecordedEngine
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import clean, counted, escape_markdown
from cvat_flows.tasks.reports.artifacts import add_markdown
from cvat_flows.tasks.reports.evaluation.comparison import ComparisonReport
from cvat_flows.tasks.reports.evaluation.ranking import RankingReport
from cvat_flows.tasks.reports.evaluation.report import EvaluationReport
from cvat_flows.tasks.reports.evaluation.review_report import ReviewReport

_RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=THREADS)


@flow(
    name="annotate-task",
    description="Annotate one CVAT task. Good frames are uploaded; each bad one appears as a "
    "failed task run.",
    flow_run_name="annotate task {task_id}",
    task_runner=_RUNNER,
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
    ...     function="aa_functions.shapes",
    ...     dry_run=True,
    ...     advanced={"frames": "0"},
    ... )
    >>> report.sentence
    '1 of 1 frame would be annotated'
    """
    try:
        with use_engine(RecordedEngine()):
            report = annotate(read_parameters(AnnotateTaskParameters, parameters))
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=clean(str(error)), data=error)
    return Completed(message=clean(report.sentence), data=report)


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

    >>> rule = SweepRule(task_name="street*", function="aa_functions.shapes")
    >>> report = annotate_new_tasks_flow(rules=[rule], dry_run=True)
    >>> report.sentence
    '1 would be annotated'
    """
    try:
        with use_engine(RecordedEngine()):
            report = sweep(read_parameters(AnnotateNewTasksParameters, parameters), run_flow)
            mark_failed_runs(report)
            add_markdown(
                report.markdown(),
                key="annotate-new-tasks",
                description=escape_markdown(report.sentence.partition(" (task ")[0], 300),
            )
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=clean(str(error)), data=error)
    if report.failed:
        return Failed(message=clean(report.sentence), data=SweepFailed(report))
    return Completed(message=clean(report.sentence), data=report)


@flow(
    name="evaluate-task",
    description="Compare a function's detections with people's annotations of one CVAT task. "
    "Nothing is written to CVAT.",
    flow_run_name="evaluate task {task_id}",
    task_runner=_RUNNER,
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
    ...     task_id=task_id, function="aa_functions.shapes", truth_file=truth_file
    ... )
    >>> report.sentence.partition(",")[0]
    'precision 1.000'
    """
    try:
        with use_engine(RecordedEngine()):
            report = evaluate(read_parameters(EvaluateTaskParameters, parameters))
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=clean(str(error)), data=error)
    return Completed(message=clean(report.sentence), data=report)


@flow(
    name="compare-functions",
    description="Compare two functions on the same frames of one CVAT task. Nothing is written to "
    "CVAT.",
    flow_run_name="compare functions on {task_id}",
    task_runner=_RUNNER,
    persist_result=False,
)
@takes_fields_of(CompareFunctionsParameters)
def compare_functions_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Compare two functions on the same frames of one CVAT task."""
    try:
        with use_engine(RecordedEngine()):
            report = compare_functions(read_parameters(CompareFunctionsParameters, parameters))
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=clean(str(error)), data=error)
    return Completed(message=clean(report.sentence), data=report)


@flow(
    name="rank-frames",
    description="Rank the frames of one CVAT task by the doubts that detections raise. Nothing is "
    "written to CVAT.",
    flow_run_name="rank frames of task {task_id}",
    task_runner=_RUNNER,
    persist_result=False,
)
@takes_fields_of(RankFramesParameters)
def rank_frames_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Rank the frames of one CVAT task: which a person should correct first.

    The flow takes the fields of `RankFramesParameters` by name.
    """
    try:
        with use_engine(RecordedEngine()):
            report = rank(read_parameters(RankFramesParameters, parameters))
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=clean(str(error)), data=error)
    return Completed(message=clean(report.sentence), data=report)


@flow(
    name="review-task",
    description="Say what became of the annotations that were uploaded to one CVAT task.",
    flow_run_name="review {task_id}",
    task_runner=_RUNNER,
    persist_result=False,
)
@takes_fields_of(ReviewTaskParameters)
def review_task_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Say what became of the annotations that were uploaded to one CVAT task."""
    try:
        with use_engine(RecordedEngine()):
            report = review_task(read_parameters(ReviewTaskParameters, parameters))
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=clean(str(error)), data=error)
    return Completed(message=clean(report.sentence), data=report)


@flow(
    name="review-finished-tasks",
    description="Say what became of uploaded annotations in all jobs that people have finished.",
    flow_run_name="review finished tasks",
    persist_result=False,
)
@takes_fields_of(ReviewFinishedTasksParameters)
def review_finished_tasks_flow(parameters: Mapping[str, Any]) -> State[Any]:
    """Say what became of uploaded annotations in all jobs that people have finished."""
    try:
        with use_engine(RecordedEngine()):
            report = review_finished_tasks(
                read_parameters(ReviewFinishedTasksParameters, parameters)
            )
    except CvatFlowsError as error:
        return Failed(message=clean(str(error)), data=error)
    return Completed(message=clean(report.sentence), data=report)


@flow(name="detect-jobs", task_runner=_RUNNER, persist_result=False)
def detect_jobs_flow(parameters: DetectJobsParameters) -> State[Any]:
    """Detect on some jobs of a CVAT task that a main run annotates with split='jobs'."""
    try:
        with use_engine(RecordedEngine()):
            plan = detect_jobs(parameters)
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=clean(str(error)), data=error)
    return Completed(message=f"processed {counted(plan.frame_count, 'frame')}")


@flow(
    name="maintain",
    description="Delete old cached detections, per-frame tables and previews.",
    flow_run_name="prune caches",
    persist_result=False,
)
@takes_fields_of(MaintainParameters)
def maintain_flow(parameters: Mapping[str, Any]) -> Any:
    """Delete old detections from the cache, and old per-frame tables and previews.

    Deleted detections are detected again when needed. Runs of annotate-task also apply the limits,
    once a day.

    The flow takes the fields of `MaintainParameters` by name.

    Returns:
        What was deleted and what is left.

    >>> maintain_flow(cache_days=30).removed
    0
    """
    pruned = maintain(read_parameters(MaintainParameters, parameters))
    return Completed(message=sentence(pruned), data=pruned)


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


def run_sweep_flow(parameters: AnnotateNewTasksParameters) -> SweepReport:
    """Run `annotate-new-tasks` here. Raises the error of a sweep that could not start."""
    state: Any = annotate_new_tasks_flow(**flow_parameters(parameters), return_state=True)
    result = _result_of(state)
    if isinstance(result, SweepFailed):
        return result.report
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, SweepReport)
    return result


def run_evaluation_flow(parameters: EvaluateTaskParameters, inputs: LiveInputs) -> EvaluationReport:
    """Run `evaluate-task` in this process. Raises the error of an evaluation that ended early."""
    with use_live_inputs(inputs), _no_heartbeats():
        state: Any = evaluate_task_flow(**flow_parameters(parameters), return_state=True)
    result = _result_of(state)
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, EvaluationReport)
    return result


def run_comparison_flow(
    parameters: CompareFunctionsParameters, inputs: LiveInputs
) -> ComparisonReport:
    """Run `compare-functions` in this process. Raises the error of one that ended early."""
    with use_live_inputs(inputs), _no_heartbeats():
        state: Any = compare_functions_flow(**flow_parameters(parameters), return_state=True)
    result = _result_of(state)
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, ComparisonReport)
    return result


def run_ranking_flow(parameters: RankFramesParameters, inputs: LiveInputs) -> RankingReport:
    """Run `rank-frames` in this process. Raises the error of a ranking that ended early."""
    with use_live_inputs(inputs), _no_heartbeats():
        state: Any = rank_frames_flow(**flow_parameters(parameters), return_state=True)
    result = _result_of(state)
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, RankingReport)
    return result


def run_review_flow(
    parameters: ReviewTaskParameters | ReviewFinishedTasksParameters, inputs: LiveInputs
) -> ReviewReport:
    """Run a review in this process. Raises the error of a review that ended early."""
    with use_live_inputs(inputs), _no_heartbeats():
        is_one = isinstance(parameters, ReviewTaskParameters)
        review_flow = review_task_flow if is_one else review_finished_tasks_flow
        state: Any = review_flow(**flow_parameters(parameters), return_state=True)
    result = _result_of(state)
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, ReviewReport)
    return result


def _finished(state: State[Any]) -> Finished:
    run_id = str(state.state_details.flow_run_id or "")
    return finished(run_id, _result_of(state), flow_run_url(run_id) if run_id else None)


def _result_of(state: State[Any]) -> Any:
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
