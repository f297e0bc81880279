"""The flow `annotate-task`: annotate one CVAT task with a detection function."""

# No `from __future__ import annotations` in a module with a flow: `serve` sends the flow to another
# process by value, and there the names in string annotations are not found.

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from aa_functions.reference import FunctionReferenceError, load_function
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.connect import connect_for_run
from cvat_flows.flows.run.detect import THREADS, detect_all
from cvat_flows.flows.run.hooks import log_how_to_continue
from cvat_flows.flows.run.live import live_inputs
from cvat_flows.flows.run.log import filter_engine_log
from cvat_flows.flows.run.memory import freeze_gc
from cvat_flows.flows.run.prepare import make_plan, make_run, match_labels
from cvat_flows.flows.run.progress import PrefectProgress
from cvat_flows.flows.run.record import open_record
from cvat_flows.flows.run.report import collect_pictures, name_flow_run, publish
from cvat_flows.flows.run.split import split_detection
from cvat_flows.flows.run.upload import upload_all
from cvat_flows.tasks.cvat.server_block import find_settings
from cvat_flows.tasks.detect.pruning import prune_if_due
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.steps import fetch_labels, fetch_media


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
    live = live_inputs()
    client = live.client or connect_for_run(find_settings(parameters.server))
    media = fetch_media(client, parameters.task_id)
    name_flow_run(parameters, media, live)
    function = live.function or load_function(parameters.reference)
    labels = fetch_labels(client, parameters.task_id)
    match = match_labels(function, labels, parameters)
    report = RunReport(
        media=media,
        function=function.title,
        fingerprint=function.fingerprint,
        labels=labels,
        match=match.rows,
        dry_run=parameters.dry_run,
    )
    with (
        freeze_gc(),
        open_record(client, media, function, labels, parameters) as record,
        PrefectProgress(live.progress, report) as progress,
    ):
        plan = make_plan(
            media,
            parameters,
            default_frames=live.default_frames(media, parameters.jobs),
            annotated=record.annotated_frames(),
            done=frozenset() if live.include_done else record.done_frames(),
        )
        report.add(plan.skipped)
        run = make_run(
            client,
            media,
            function,
            match,
            parameters,
            batches=plan.batches,
            caches=record.caches(),
            strict=live.strict,
        )
        collect_pictures(run, plan, report, function, parameters)
        with run, split_detection(plan, function, parameters, report):
            progress.start(plan.frame_count, f"annotating task {media.task_id}")
            try:
                detect_all(run, plan, report, parameters, progress)
                if not report.stopped:
                    progress.uploading()
                    upload_all(run, plan, record, report)
            except CvatFlowsError as error:
                report.stopped = str(error)
                publish(run, report, parameters, record.storage)
                raise
            finally:
                progress.finish()
        # Before the lease is released: a sweep takes a run without a lease for crashed.
        publish(run, report, parameters, record.storage)
        prune_if_due(record.storage)
    return report
