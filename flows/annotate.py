"""Annotate one CVAT task: the steps in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.context import open_context
from cvat_flows.flows.run.detect import detect_all
from cvat_flows.flows.run.live import live_inputs
from cvat_flows.flows.run.memory import freeze_gc, pause_gc
from cvat_flows.flows.run.prepare import make_plan, make_run, open_notes
from cvat_flows.flows.run.record import open_record
from cvat_flows.flows.run.reporting.progress import showing_progress
from cvat_flows.flows.run.reporting.report import new_report, publishing, run_pictures
from cvat_flows.flows.run.upload import Uploads
from cvat_flows.flows.split.split import split_detection
from cvat_flows.tasks.detect.pruning import prune_if_due
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Batch
from cvat_flows.tasks.reports.run_report import RunReport


class FramesFailed(CvatFlowsError):
    """Some frames failed or were set aside, or so many failed that the run stopped.

    Attributes:
        report: The report of the run. It says which frames failed and why.
    """

    def __init__(self, report: RunReport) -> None:
        super().__init__(report.sentence)
        self.report = report


def annotate(parameters: AnnotateTaskParameters) -> RunReport:
    """Run all steps in order, with the current engine (tasks.engine).

    Raises FramesFailed if a frame failed, and the error of a run that could not start or finish.
    """
    with pause_gc():
        context = open_context(parameters, live_inputs())
    with freeze_gc(), open_record(context) as record:
        notes = open_notes(context)
        plan = make_plan(
            context,
            notes,
            annotated=record.annotated_frames(),
            done=record.done_frames(),
            set_aside=record.frames_set_aside(),
        )
        report = new_report(context, plan)
        report.removed = record.count_removed(plan)
        run = make_run(
            context,
            plan.batches,
            notes,
            run_pictures(context, plan),
            record.forget_version,
            record.present,
        )
        uploads = Uploads(run=run, record=record, report=report)
        # All of this happens with the lease: a sweep takes a run without one for crashed.
        with (
            publishing(context, run, report),
            run,
            split_detection(context, plan, report),
            showing_progress(context, plan, report) as progress,
        ):
            for batches in _passes(plan, parameters):
                with uploads.beside(batches):
                    done = uploads.frames_done
                    detect_all(context, run, plan, batches, report, progress, done)
                    report.finish_detection()
                    if report.stopped:
                        break
                    notes.clear()
                    progress.uploading()
            else:
                notes.resolve(frame.number for frame in plan.frames)
        prune_if_due(context.storage)
    if report.stopped or report.failed_count or report.set_aside:
        raise FramesFailed(report)
    return report


def _passes(plan: Plan, parameters: AnnotateTaskParameters) -> Iterator[Sequence[Batch]]:
    """Yield the batches in the order in which they are processed, and uploaded after each pass.

    Frames that an earlier process did not survive come last, when the others are in CVAT. But if no
    frame may fail, all frames or none are uploaded.
    """
    if parameters.max_failed_frames == 0:
        yield (*plan.batches, *plan.last)
        return
    yield plan.batches
    if plan.last:
        yield plan.last
