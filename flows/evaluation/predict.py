"""Detect on frames, from the cache if possible. Nothing is written to CVAT."""

from __future__ import annotations

from attrs import evolve

from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.detect import run_batches
from cvat_flows.flows.run.live import Progress
from cvat_flows.flows.run.prepare import make_plan, make_run, open_notes
from cvat_flows.tasks.evaluate.predictions import PredictionCollector, Predictions
from cvat_flows.tasks.run import AnnotationRun, BatchWork
from cvat_flows.tasks.steps import is_worth_retrying, remap, validate


def predict(context: RunContext) -> Predictions:
    """Return what the function detects on the frames that the context's parameters select.

    Raises the error that fails a whole batch, for example when CVAT is unavailable.
    """
    context = evolve(context, live=evolve(context.live, include_done=True))
    notes = open_notes(context)
    plan = make_plan(context, notes)
    collector = PredictionCollector(context.match)
    progress = context.live.progress
    with make_run(context, (*plan.batches, *plan.last), notes) as run:
        function = context.parameters.short_name
        progress.start(
            plan.frame_count, f"detecting on task {context.media.task_id} with {function}"
        )
        try:
            for batches in (plan.batches, plan.last):
                run.advance = progress.advance
                run_batches(
                    run,
                    batches,
                    then=(validate, remap),
                    finish=lambda work: _finish(run, work, collector, progress),
                )
        finally:
            progress.finish()
        notes.resolve(frame.number for frame in plan.frames)
    return collector.predictions()


def _finish(
    run: AnnotationRun, work: BatchWork, collector: PredictionCollector, progress: Progress
) -> bool:
    """Collect the outcomes of a batch. A failed frame is tried once more."""
    for outcome in work.outcomes:
        if outcome.failure is not None and is_worth_retrying(outcome):
            outcome = run.retry(outcome.frame)
        collector.add(outcome)
    work.outcomes = []
    progress.advance(len(work.batch.frames) - work.shown)
    return True
