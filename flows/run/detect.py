"""Run the steps fetch, detect, validate and remap for every batch, several batches at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from attrs import evolve
from prefect import Task
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectFuture

from cvat_flows.flows.run.context import RunContext
from cvat_flows.flows.run.live import Progress
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.frames import Batch, Outcome
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.failed_frames import MAX_SHOWN
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import AnnotationRun, BatchWork
from cvat_flows.tasks.steps import (
    GPU_TAG,
    detect,
    detect_unlimited,
    fetch_frames,
    is_worth_retrying,
    read_cached,
    remap,
    retry_frame,
    show_failure,
    validate,
)

_Step = Task[[AnnotationRun, BatchWork], Any]

BATCHES_IN_FLIGHT = 3
"""One batch is fetched, one is in the model, and one is checked, so memory holds the images of two.
More batches would also be slower: writing to fresh memory costs half as much time as decoding."""
THREADS = 4 * BATCHES_IN_FLIGHT + 8
"""One thread for each step of each batch, and some for the retries of failed frames. Steps that
wait for others cost nothing."""


def detect_all(
    context: RunContext, run: AnnotationRun, plan: Plan, report: RunReport, progress: Progress
) -> None:
    """Detect on all batches. Write the outcomes to the spool and to the report.

    Stops early and sets `report.stopped` if more frames fail than `max_failed_frames` allows.
    Raises the error that failed a whole batch, for example when CVAT is unavailable.
    """
    allowed = context.parameters.failed_frames_allowed(plan.budget_base)

    def finish(work: BatchWork) -> bool:
        _collect(work, run, report, allowed)
        progress.advance(len(work.batch.frames))
        return report.stopped is None

    run_batches(run, plan.batches, then=(validate, remap), finish=finish)


def run_batches(
    run: AnnotationRun,
    batches: Sequence[Batch],
    *,
    then: Sequence[_Step] = (),
    finish: Callable[[BatchWork], bool] = lambda work: True,
) -> None:
    """Fetch and detect on every batch, several batches at a time.

    Args:
        run: What the steps share.
        batches: In the order in which they are processed.
        then: Steps after the detection.
        finish: Called with each batch, in order, after its last step. Returns whether to go on.
    """
    detect_task = cache(choose_detect_task)
    in_flight: deque[_Chain] = deque()

    def finish_first() -> bool:
        in_flight[0].wait()
        return finish(in_flight.popleft().work)

    try:
        for batch in batches:
            if len(in_flight) >= BATCHES_IN_FLIGHT and not finish_first():
                return
            detected = [chain.detected for chain in in_flight]
            in_flight.append(_Chain(run, BatchWork(batch), detect_task, detected, then))
        while in_flight and finish_first():
            pass
    finally:
        run.turns.cancel()
        for chain in in_flight:
            chain.abandon()


def choose_detect_task() -> _Step:
    """Return `detect` if its tag has a limit on the server, else `detect_unlimited`.

    A limit that is created later counts from the next run on.
    """
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(f"tag:{GPU_TAG}")
        except ObjectNotFound:
            return detect_unlimited
    return detect


class _Chain:
    """The task runs of a batch."""

    def __init__(
        self,
        run: AnnotationRun,
        work: BatchWork,
        detect_task: Callable[[], _Step],
        detected: Sequence[PrefectFuture[Any]],
        then: Sequence[_Step],
    ) -> None:
        """`detected` are the detect runs of the batches in flight before this one, in order."""
        self.work = work
        fetched = _submit(fetch_frames, run, work, detected[:-1])
        step = read_cached if run.source.is_cached(work.batch) else detect_task()
        # A plain function need not be thread-safe, so it is called for one batch at a time, in the
        # order of the frames: `turns` makes the batches wait inside their task runs. A task run
        # starts while the function is busy with the batch before; then nothing waits for Prefect
        # in between. But a run that holds a slot must not wait inside: it starts afterwards.
        run.turns.enqueue(work.batch.index)
        start_after_all = step is detect or run.strict
        before = detected if start_after_all else detected[:-1]
        self.detected = _submit(step, run, work, [fetched, *before])
        self.futures = [fetched, self.detected]
        for step in then:
            self.futures.append(_submit(step, run, work, [self.futures[-1]]))

    def wait(self) -> None:
        """Wait for the last step. Raises the error of a step that failed."""
        last = self.futures[-1]
        last.wait()
        # A step starts only if the one before has completed, so the last state tells all. Reading
        # results is slow.
        if not last.state.is_completed():
            for future in self.futures:
                future.result()

    def abandon(self) -> None:
        """Wait for the steps that are running. Their results are dropped."""
        for future in self.futures:
            future.wait()


def _submit(
    step: _Step, run: AnnotationRun, work: BatchWork, wait_for: Sequence[PrefectFuture[Any]]
) -> PrefectFuture[None]:
    return step.submit(run, work, wait_for=wait_for, return_state=False)


def _collect(work: BatchWork, run: AnnotationRun, report: RunReport, allowed: int) -> None:
    """Retry a batch's failed frames, and write its outcomes to the spool and the report."""
    outcomes = {outcome.frame.number: outcome for outcome in work.outcomes}
    # Prefect may keep the task runs' arguments for a while.
    work.outcomes = []
    failed = [outcome for outcome in outcomes.values() if outcome.failure]
    if not run.strict:
        # One more failed frame than allowed is enough to know that the run must stop. And after
        # the first hundred failed frames, no others are retried and shown.
        room = run.pictures.failed.room if run.pictures else MAX_SHOWN
        for outcome in _retry(run, failed[: min(allowed - report.failed_count + 1, room)]):
            outcomes[outcome.frame.number] = outcome
    report.add(outcomes.values())
    if run.pictures:
        run.pictures.add_outcomes(outcomes.values())
    run.spool.write(work.batch, (evolve(o, detections=None) for o in outcomes.values()))
    if report.failed_count > allowed:
        report.stopped = _why_stopped(report, allowed)


def _retry(run: AnnotationRun, failed: list[Outcome]) -> list[Outcome]:
    """Show each failed frame as a failed task run, which tries it again first if that may help."""
    retried: dict[int, Outcome] = {}

    def keep(outcome: Outcome) -> None:
        retried[outcome.frame.number] = outcome

    futures = [
        retry_frame.submit(run, outcome.frame, outcome.failure, keep)
        if is_worth_retrying(outcome)
        else show_failure.submit(run, outcome, outcome.failure)
        for outcome in failed
        if outcome.failure
    ]
    for future in futures:
        future.wait()
    return list(retried.values())


def _why_stopped(report: RunReport, allowed: int) -> str:
    first = report.failed[0]
    processed = counted(report.failed_count + report.count("annotated"), "frame")
    return (
        f"Nothing uploaded: {report.failed_count:,} of {processed} failed, the limit is "
        f"{allowed:,}. Raise it with --max-failed-frames. The first failed frame is {first.frame} "
        f"{first.name}: {first.error}"
    )
