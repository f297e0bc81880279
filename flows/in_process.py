"""Annotate in the caller's process: as a Prefect flow if a server is configured, else in threads.

Prefect is imported only if a server is configured: that takes longer than a short run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from cvat_flows.flows.annotate import annotate
from cvat_flows.flows.finished import Finished, finished
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_server import prefect_errors
from cvat_flows.flows.run.live import LiveInputs, use_live_inputs
from cvat_flows.flows.run.memory import pause_gc
from cvat_flows.tasks.engine.configured import prefect_is_configured
from cvat_flows.tasks.engine.current import use_engine
from cvat_flows.tasks.engine.plain import PlainEngine
from cvat_flows.tasks.reports.run_report import RunReport

if TYPE_CHECKING:
    from cvat_flows.flows.evaluation.parameters import (
        CompareFunctionsParameters,
        EvaluateTaskParameters,
        RankFramesParameters,
    )
    from cvat_flows.flows.evaluation.review_parameters import (
        ReviewFinishedTasksParameters,
        ReviewTaskParameters,
    )
    from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
    from cvat_flows.flows.sweep.report import SweepReport
    from cvat_flows.tasks.reports.evaluation.comparison import ComparisonReport
    from cvat_flows.tasks.reports.evaluation.ranking import RankingReport
    from cvat_flows.tasks.reports.evaluation.report import EvaluationReport
    from cvat_flows.tasks.reports.evaluation.review_report import ReviewReport

Parameters = TypeVar("Parameters", bound=BaseModel)
Report = TypeVar("Report")
NOT_RECORDED = (
    "This run is not recorded, because no Prefect server is configured. To record runs, start one "
    "with `cvat-flows ui` and set PREFECT_API_URL=http://127.0.0.1:4200/api"
)


def run_here(parameters: AnnotateTaskParameters, inputs: LiveInputs | None = None) -> Finished:
    """Annotate one CVAT task. Never raises an error of the run; see `Finished.error`.

    Raises PrefectUnavailable if the configured Prefect server does not answer.
    """
    if prefect_is_configured():
        with pause_gc():
            from cvat_flows.flows.prefect_flows.here import run_flow

        with prefect_errors():
            return run_flow(parameters, inputs or LiveInputs())
    return run_in_threads(parameters, inputs or LiveInputs())


def annotate_task_here(task_id: int, **options: Any) -> RunReport:
    """Annotate one CVAT task in this process, also in a notebook, and return the report.

    Good frames are uploaded although others fail. If a Prefect server is configured, the run is a
    flow run there; otherwise none is needed.

    Args:
        task_id: Id of the CVAT task.
        options: Fields of `AnnotateTaskParameters`.

    Raises:
        CvatFlowsError: The run could not start or finish. The error says what to do.
        FunctionReferenceError: The function cannot be loaded.

    >>> report = annotate_task_here(task_id, function="shapes", dry_run=True)
    >>> report.sentence
    '2 of 2 frames would be annotated'
    """
    return run_here(AnnotateTaskParameters(task_id=task_id, **options)).report_or_raise()


def run_in_threads(parameters: AnnotateTaskParameters, inputs: LiveInputs) -> Finished:
    """Annotate one CVAT task without Prefect. Never raises an error of the run."""
    engine = PlainEngine()
    with use_live_inputs(inputs), use_engine(engine):
        try:
            result: RunReport | Exception = annotate(parameters)
        except Exception as error:
            result = error
    return finished(engine.run_id, result)


def evaluate_here(
    parameters: EvaluateTaskParameters, inputs: LiveInputs | None = None
) -> EvaluationReport:
    """Evaluate a function on one CVAT task. Raises the error of an evaluation that ended early."""
    from cvat_flows.flows.evaluation.evaluate import evaluate

    return _report_here(evaluate, parameters, inputs)


def compare_here(
    parameters: CompareFunctionsParameters, inputs: LiveInputs | None = None
) -> ComparisonReport:
    """Compare two functions on one CVAT task. Raises the error of one that ended early."""
    from cvat_flows.flows.evaluation.compare import compare_functions

    return _report_here(compare_functions, parameters, inputs)


def rank_here(parameters: RankFramesParameters, inputs: LiveInputs | None = None) -> RankingReport:
    """Rank the frames of one CVAT task. Raises the error of a ranking that ended early."""
    from cvat_flows.flows.evaluation.rank import rank

    return _report_here(rank, parameters, inputs)


def review_here(
    parameters: ReviewTaskParameters | ReviewFinishedTasksParameters,
    inputs: LiveInputs | None = None,
) -> ReviewReport:
    """Review uploaded annotations. Raises the error of a review that ended early."""
    from cvat_flows.flows.evaluation.review import review_finished_tasks, review_task
    from cvat_flows.flows.evaluation.review_parameters import ReviewTaskParameters

    if isinstance(parameters, ReviewTaskParameters):
        return _report_here(review_task, parameters, inputs)
    return _report_here(review_finished_tasks, parameters, inputs)


def _report_here(
    run: Callable[[Parameters], Report], parameters: Parameters, inputs: LiveInputs | None
) -> Report:
    """Run the flow that takes these parameters, or without Prefect the steps that `run` runs."""
    if prefect_is_configured():
        from cvat_flows.flows.prefect_flows.here import run_evaluation_flow

        with prefect_errors():
            report: Report = run_evaluation_flow(parameters, inputs or LiveInputs())
            return report
    with use_live_inputs(inputs or LiveInputs()), use_engine(PlainEngine()):
        return run(parameters)


def sweep_here(parameters: AnnotateNewTasksParameters) -> SweepReport:
    """Annotate the new CVAT tasks. Raises the error of a sweep that could not start."""
    if prefect_is_configured():
        from cvat_flows.flows.prefect_flows.sweeping import run_sweep_flow

        with prefect_errors():
            return run_sweep_flow(parameters)
    from cvat_flows.flows.annotate_new import sweep

    with use_engine(PlainEngine()):
        return sweep(parameters, run_in_threads)
