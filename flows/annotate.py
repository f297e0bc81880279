"""The flow `annotate-task`: annotate one CVAT task with a detection function."""

# No `from __future__ import annotations` in a module with a flow: `serve` sends the flow to another
# process by value, and there the names in string annotations are not found.

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from aa_functions.reference import FunctionReferenceError
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.context import open_context
from cvat_flows.flows.run.detect import THREADS, detect_all
from cvat_flows.flows.run.hooks import log_how_to_continue
from cvat_flows.flows.run.live import live_inputs
from cvat_flows.flows.run.log import filter_engine_log
from cvat_flows.flows.run.memory import freeze_gc
from cvat_flows.flows.run.prepare import make_plan, make_run
from cvat_flows.flows.run.progress import showing_progress
from cvat_flows.flows.run.record import open_record
from cvat_flows.flows.run.report import new_report, publishing, run_pictures
from cvat_flows.flows.run.split import split_detection
from cvat_flows.flows.run.upload import upload_all
from cvat_flows.tasks.detect.pruning import prune_if_due
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.reports.run_report import RunReport


class FramesFailed(CvatFlowsError):
    """Some frames failed, or so many that the run stopped.

    Attributes:
        report: The report of the run. It says which frames failed and why.
    """

    def __init__(self, report: RunReport) -> None:
        super().__init__(report.sentence)
        self.report = report


_RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=THREADS)


@flow(
    name="annotate-task",
    description="Annotate one CVAT task. Good frames are uploaded; each bad one appears as a "
    "failed task run.",
    flow_run_name="annotate {parameters.task_id} · {parameters.function_name}",
    task_runner=_RUNNER,
    persist_result=False,
    on_crashed=[log_how_to_continue],
    on_cancellation=[log_how_to_continue],
)
def annotate_task_flow(parameters: AnnotateTaskParameters) -> State[Any]:
    """Annotate one CVAT task.

    Good frames are uploaded; each bad one appears as a failed task run.

    Args:
        parameters: The task, the function and the options.

    Returns:
        A `RunReport`.

    Raises:
        FramesFailed: Some frames failed. The error has the report.
        CvatFlowsError: The run could not start or finish. The error says what to do.
        FunctionReferenceError: The function cannot be loaded.

    >>> report = annotate_task_flow(
    ...     AnnotateTaskParameters(task_id=task_id, function="aa_functions.shapes", dry_run=True)
    ... )
    >>> report.sentence
    '2 of 2 frames would be annotated'
    """
    filter_engine_log()
    try:
        report = annotate(parameters)
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=str(error), data=error)
    if report.stopped or report.failed_count:
        return Failed(message=report.sentence, data=FramesFailed(report))
    return Completed(message=report.sentence, data=report)


def annotate(parameters: AnnotateTaskParameters) -> RunReport:
    """Run all steps in order."""
    context = open_context(parameters, live_inputs())
    with freeze_gc(), open_record(context) as record:
        plan = make_plan(context, annotated=record.annotated_frames(), done=record.done_frames())
        report = new_report(context, plan)
        run = make_run(context, plan.batches, run_pictures(context, plan))
        # All of this happens with the lease: a sweep takes a run without one for crashed.
        with (
            publishing(context, run, report),
            run,
            split_detection(context, plan, report),
            showing_progress(context, plan, report) as progress,
        ):
            detect_all(context, run, plan, report, progress)
            if not report.stopped:
                progress.uploading()
                upload_all(run, plan, record, report)
        prune_if_due(context.storage)
    return report
