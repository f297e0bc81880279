"""Run the steps fetch, detect, validate and remap for every batch, several batches at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cvat_flows.flows.run.collect import Collector
from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.live import Progress
from cvat_flows.tasks.detect.turns import TurnQueue
from cvat_flows.tasks.engine.current import current_engine
from cvat_flows.tasks.engine.engine import StepRun
from cvat_flows.tasks.engine.step import Step
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.frames import Batch, Frame
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import AnnotationRun, BatchWork
from cvat_flows.tasks.steps import (
    detect,
    detect_without_gpu,
    fetch_frames,
    remap,
    validate,
)

_Step = Step[[AnnotationRun, BatchWork], Any]

BATCHES_IN_FLIGHT = 3
"""One batch is fetched, one is in the model, and one is checked, so memory holds the images of two.
More batches would also be slower: writing to fresh memory costs half as much time as decoding."""
INTERRUPT_GRACE = 1.0
"""Seconds that an interrupted run waits for the call of the function that is under way."""
THREADS = 4 * BATCHES_IN_FLIGHT + 8
"""Threads of the flow: one for each step of each batch, and some for the retries of failed frames.
Steps that wait for others cost nothing."""


def detect_all(
    context: RunContext,
    run: AnnotationRun,
    plan: Plan,
    batches: Sequence[Batch],
    report: RunReport,
    progress: Progress,
    frames_done: Callable[[Sequence[Frame]], None],
) -> None:
    """Detect on batches of the plan. Write the outcomes to the spool and to the report.

    `frames_done` receives the frames of each batch whose outcomes are in the spool.

    Stops early and sets `report.stopped` if more frames fail than `max_failed_frames` allows.
    Raises the error that failed a whole batch, for example when CVAT is unavailable.
    """
    collector = Collector(
        run=run,
        plan=plan,
        report=report,
        progress=progress,
        allowed=context.parameters.failed_frames_allowed(plan.budget_base),
        frames_done=frames_done,
    )
    run.advance = progress.advance
    run_batches(
        run,
        batches,
        then=(validate, remap),
        finish=collector.finish,
        settle=collector.settle,
        retries=collector.steps,
    )


def run_batches(
    run: AnnotationRun,
    batches: Sequence[Batch],
    *,
    then: Sequence[_Step] = (),
    finish: Callable[[BatchWork], bool] = lambda work: True,
    settle: Callable[[], object] = lambda: None,
    retries: Callable[[], Sequence[StepRun]] = lambda: (),
) -> None:
    """Fetch and detect on every batch, several batches at a time.

    Args:
        run: What the steps share.
        batches: In the order in which they are processed.
        then: Steps after the detection.
        finish: Called with each batch, in order, after its last step. Returns whether to go on.
        settle: Called when all batches are finished.
        retries: Returns other steps that are under way and use the function.
    """
    in_flight: deque[_Chain] = deque()
    seconds: float | None = None
    run.turns = TurnQueue()

    def finish_first() -> bool:
        in_flight[0].wait()
        return finish(in_flight.popleft().work)

    try:
        for batch in batches:
            if len(in_flight) >= BATCHES_IN_FLIGHT and not finish_first():
                return
            detected = [chain.detected for chain in in_flight]
            in_flight.append(_Chain(run, BatchWork(batch), detected, then))
        while in_flight:
            if not finish_first():
                return
        settle()
    except BaseException as error:
        # A person who interrupts the run does not want to wait.
        seconds = None if isinstance(error, Exception) else INTERRUPT_GRACE
        raise
    finally:
        steps = [step for chain in in_flight for step in chain.steps]
        _abandon(run, [*steps, *retries()], seconds)
        if seconds is not None:
            run.save_detected()


def _abandon(run: AnnotationRun, steps: Iterable[StepRun], seconds: float | None) -> None:
    """End the steps that are running, and wait for them. Their results are dropped."""
    run.turns.cancel()
    end = None if seconds is None else time.monotonic() + seconds
    for step in steps:
        step.wait(None if end is None else max(0.0, end - time.monotonic()))


class _Chain:
    """The steps of a batch."""

    def __init__(
        self,
        run: AnnotationRun,
        work: BatchWork,
        detected: Sequence[StepRun],
        then: Sequence[_Step],
    ) -> None:
        """`detected` are the detect steps of the batches in flight before this one, in order."""
        self.work = work
        fetched = fetch_frames.submit_after(detected[:-1], run, work)
        step: _Step = detect_without_gpu if run.source.is_cached(work.batch) else detect
        # A plain function need not be thread-safe, so it is called for one batch at a time, in the
        # order of the frames: `turns` makes the batches wait inside their steps. A step starts
        # while the function is busy with the batch before; then nothing waits for Prefect in
        # between. But a run that holds a slot must not wait inside: it starts afterwards.
        run.turns.enqueue(work.batch.index)
        start_after_all = run.strict or current_engine().has_limit(step.definition)
        before = detected if start_after_all else detected[:-1]
        self.detected = step.submit_after([fetched, *before], run, work)
        self.steps = [fetched, self.detected]
        for one in then:
            self.steps.append(one.submit_after(self.steps[-1:], run, work))

    def wait(self) -> None:
        """Wait for the last step. Raises the error of a step that failed."""
        last = self.steps[-1]
        last.wait()
        # A step starts only if the one before has completed, so the last state tells all. Reading
        # results is slow.
        if not last.completed():
            for step in self.steps:
                step.result()
