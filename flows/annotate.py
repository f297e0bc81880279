"""The flow `annotate-task`: annotate one CVAT task with a detection function."""

# No postponed annotations where a flow is: `serve` hands it to another process by value, and there
# the names in them are not found.

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from attrs import frozen
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import SettingsContext, get_settings_context
from prefect.flow_engine import run_flow
from prefect.states import Completed, Failed, Scheduled
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from aa_functions.reference import FunctionReferenceError, load_function
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.connect import connect_for_run
from cvat_flows.flows.run.detect import THREADS, detect_all
from cvat_flows.flows.run.links import run_url
from cvat_flows.flows.run.live import LiveInputs, hand_over, live_inputs
from cvat_flows.flows.run.log import filter_engine_log
from cvat_flows.flows.run.prepare import make_run, match_labels
from cvat_flows.flows.run.progress import ShownProgress
from cvat_flows.flows.run.report import publish, show_name, show_pictures
from cvat_flows.flows.run.split import helpers
from cvat_flows.flows.run.upload import open_record, upload_all
from cvat_flows.tasks.cvat.server_block import find_settings
from cvat_flows.tasks.detect.pruning import prune_if_due
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.steps import fetch_labels, fetch_media, plan_frames


class FramesFailed(CvatFlowsError):
    """Some frames could not be annotated; the report says which and why."""

    def __init__(self, report: RunReport) -> None:
        super().__init__(report.sentence)
        self.report = report


_RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=THREADS)


@flow(
    name="annotate-task",
    flow_run_name="annotate {parameters.task_id} · {parameters.function_name}",
    task_runner=_RUNNER,
    persist_result=False,
)
def annotate_task_flow(parameters: AnnotateTaskParameters) -> State[Any]:
    """Annotate one CVAT task: what works is uploaded, what fails is seen.

    Ends Completed with the run's report, or Failed with one sentence: about the frames that
    failed, or about what has to be put right before anything can run.
    """
    filter_engine_log()
    try:
        report = annotate(parameters)
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=str(error), data=error)
    if report.stopped or report.failed_count:
        return Failed(message=report.sentence, data=FramesFailed(report))
    return Completed(message=report.sentence, data=report)


@frozen(kw_only=True)
class Finished:
    """How a run of the flow in this process ended."""

    report: RunReport | None
    """None if the run did not get as far as the first frame."""
    error: BaseException | None
    state: State[Any]

    @property
    def url(self) -> str | None:
        """Address of the run in the Prefect UI, if a server was in use."""
        return run_url(self.state)

    def report_or_raise(self) -> RunReport:
        """The report. Raises what kept the run from the first frame."""
        if self.report is None:
            raise self.error or RuntimeError("the flow ended without a report")
        return self.report


def run_here(parameters: AnnotateTaskParameters, inputs: LiveInputs | None = None) -> Finished:
    """Run the flow in this process, with what the caller has already; raises nothing of its."""
    with hand_over(inputs or LiveInputs()), _no_heartbeats():
        state = cast(State[Any], annotate_task_flow(parameters, return_state=True))
    return _finished(state)


def _no_heartbeats() -> SettingsContext:
    """Prefect's settings without the heartbeats of flow runs.

    They are for runs whose worker may die unseen, and ending them takes Prefect a second a run.
    `temporary_settings` reads the environment and all files of settings anew, 20 ms.
    """
    now = get_settings_context()
    flows = now.settings.flows.model_copy(update={"heartbeat_frequency": None})
    settings = now.settings.model_copy(update={"flows": flows})
    return SettingsContext(profile=now.profile, settings=settings)


def run_again_here(
    run: FlowRun, parameters: AnnotateTaskParameters, inputs: LiveInputs | None = None
) -> Finished:
    """Run a flow run that has ended once more, in this process. Raises nothing of its."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Scheduled(message="Run again"), force=True)
        run = client.read_flow_run(run.id)
    with hand_over(inputs or LiveInputs()):
        state = run_flow(
            annotate_task_flow,
            flow_run=run,
            parameters={"parameters": parameters},
            return_type="state",
        )
    return _finished(cast(State[Any], state))


def _finished(state: State[Any]) -> Finished:
    # Without `_sync` Prefect gives a coroutine to a caller that has an event loop, as notebooks do.
    answer: Any = state.result
    result = answer(raise_on_failure=False, _sync=True)
    error = result if isinstance(result, BaseException) else None
    report = result.report if isinstance(result, FramesFailed) else result
    return Finished(
        report=report if isinstance(report, RunReport) else None, error=error, state=state
    )


def annotate(parameters: AnnotateTaskParameters) -> RunReport:
    """Run the steps in their order."""
    live = live_inputs()
    client = live.client or connect_for_run(find_settings(parameters.server))
    media = fetch_media(client, parameters.task_id)
    show_name(parameters, media, live)
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
        _freeze_gc(),
        open_record(client, media, function, labels, parameters) as record,
        ShownProgress(live.progress, report) as progress,
    ):
        plan = plan_frames(
            media,
            {
                "frames": parameters.frames or live.first_frames(media, parameters.jobs),
                "jobs": parameters.jobs,
                "frames_per_run": parameters.frames_per_run,
                "include_ground_truth": parameters.include_ground_truth,
                "annotated": record.annotated_frames(),
                "done": frozenset() if live.look_at_done else record.done_frames(),
            },
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
        show_pictures(run, plan, report, function, parameters)
        with run, helpers(plan, function, parameters, report):
            progress.start(plan.frame_count, f"annotating task {media.task_id}")
            try:
                detect_all(
                    run,
                    plan,
                    report,
                    allowed=parameters.failed_frames_allowed(plan.budget_base),
                    progress=progress,
                )
                if not report.stopped:
                    progress.uploading()
                    upload_all(run, plan, record, report)
            except CvatFlowsError as error:
                report.stopped = str(error)
                report.finish()
                publish(run, report, parameters, record.storage)
                raise
            finally:
                progress.finish()
        # With the lease still: a sweep takes a run that has none for dead (flows.sweep.hand_over).
        report.finish()
        publish(run, report, parameters, record.storage)
        prune_if_due(record.storage)
    return report


@contextmanager
def _freeze_gc() -> Iterator[None]:
    """Keep Python's collector from what was there before, such as the modules of Prefect and torch.

    To look through all of it takes 0.2 to 0.4 s, in which no thread of Python's does anything.
    """
    if gc.get_freeze_count():  # the program has its own ideas
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
