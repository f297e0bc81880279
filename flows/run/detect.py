"""Run the chain fetch, detect, validate, remap for every batch, a bounded number in flight."""

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

from cvat_flows.flows.run.live import Progress
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.frames import Batch, Outcome
from cvat_flows.tasks.reports.failed_frames import MAX_SHOWN
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.steps import (
    GPU_TAG,
    detect,
    detect_unlimited,
    fetch_frames,
    read_cached,
    remap,
    retry_frame,
    show_failure,
    validate,
)

_Step = Task[[AnnotationRun, Batch], Any]

BATCHES_IN_FLIGHT = 3
"""One with the model, one that is got ready for it, one whose results are looked at: so images of
two batches are in memory. More of them is not only memory: pages that were not in use before cost
as much time as half of the decoding."""
THREADS = 4 * BATCHES_IN_FLIGHT + 8
"""A thread for each step of each batch in flight (those that wait cost nothing), and some for
failed frames that are tried again."""


def detect_all(
    run: AnnotationRun, plan: Plan, report: RunReport, *, allowed: int, progress: Progress
) -> None:
    """Bring every batch's outcomes to the spool and the report.

    Ends early, with `report.stopped` set, when more than `allowed` frames have failed. Raises what
    made a whole batch fail (CVAT gone, an error of our own).
    """
    detecting = cache(step_for_detecting)
    in_flight: deque[_Chain] = deque()
    try:
        for batch in plan.batches:
            if len(in_flight) >= BATCHES_IN_FLIGHT:
                _settle(in_flight[0], run, report, allowed, progress)
                in_flight.popleft()
                if report.stopped:
                    return
            before = [chain.detected for chain in in_flight]
            in_flight.append(_Chain(run, batch, detecting, before))
        while in_flight and not report.stopped:
            _settle(in_flight[0], run, report, allowed, progress)
            in_flight.popleft()
    finally:
        run.turns.cancel()
        for chain in in_flight:
            chain.abandon(run)


def step_for_detecting() -> _Step:
    """`detect`, or what does the same if the tag has no limit now; one made later counts from the
    next run on."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(f"tag:{GPU_TAG}")
        except ObjectNotFound:
            return detect_unlimited
    return detect


class _Chain:
    """The four task runs of a batch."""

    def __init__(
        self,
        run: AnnotationRun,
        batch: Batch,
        detecting: Callable[[], _Step],
        detected: Sequence[PrefectFuture[Any]],
    ) -> None:
        """`detected`: the detections on the batches in flight before this one, in order."""
        self.batch = batch
        fetched = _after(fetch_frames, run, batch, detected[:-1])
        step = read_cached if run.source.is_cached(batch) else detecting()
        # Functions are called in the order of the frames, one call at a time, as the protocol's
        # authors expect: a plain function need not be safe to share between threads. The run may
        # begin while the function is busy, so that it need not wait for Prefect in between; but
        # a slot is not held by a batch that waits.
        run.turns.enqueue(batch.index)
        one_at_a_time = step is detect or run.strict
        before = detected if one_at_a_time else detected[:-1]
        self.detected = _after(step, run, batch, [fetched, *before])
        validated = _after(validate, run, batch, [self.detected])
        remapped = _after(remap, run, batch, [validated])
        self.futures = (fetched, self.detected, validated, remapped)

    def finish(self) -> None:
        """Wait for the end of the chain. Raises what made one of its runs fail."""
        last = self.futures[-1]
        last.wait()
        # No step begins before the one before it has completed. Each look at a result is costly.
        if not last.state.is_completed():
            for future in self.futures:
                future.result()

    def abandon(self, run: AnnotationRun) -> None:
        for future in self.futures:
            future.wait()
        run.discard(self.batch)


def _after(
    step: _Step,
    run: AnnotationRun,
    batch: Batch,
    before: Sequence[PrefectFuture[Any]],
) -> PrefectFuture[None]:
    return step.submit(run, batch, wait_for=before, return_state=False)


def _settle(
    chain: _Chain, run: AnnotationRun, report: RunReport, allowed: int, progress: Progress
) -> None:
    """Take a batch's outcomes, try its failed frames again, spool what came of it."""
    chain.finish()
    outcomes = {outcome.frame.number: outcome for outcome in run.take_outcomes(chain.batch)}
    failed = [outcome for outcome in outcomes.values() if outcome.failure]
    if not run.strict:
        # One more than may fail is enough to know that the run has to stop. When a hundred have
        # failed on their own, too, it is no accident: others get no attempt and no run any more.
        room = run.pictures.failed.room if run.pictures else MAX_SHOWN
        for outcome in _redo(run, failed[: min(allowed - report.failed_count + 1, room)]):
            outcomes[outcome.frame.number] = outcome
    report.add(outcomes.values())
    if run.pictures:
        run.pictures.add_outcomes(outcomes.values())
    run.spool.write(chain.batch, (evolve(o, detections=None) for o in outcomes.values()))
    progress.advance(len(outcomes))
    if report.failed_count > allowed:
        first = report.failed[0]
        looked_at = report.failed_count + report.count("annotated")
        report.stopped = (
            f"stopped and uploaded nothing: {report.failed_count:,} of {looked_at:,} frames "
            f"failed, {allowed:,} may (max_failed_frames); the first is frame {first.frame} "
            f"{first.name}: {first.error}"
        )


def _redo(run: AnnotationRun, failed: list[Outcome]) -> list[Outcome]:
    redone: dict[int, Outcome] = {}

    def keep(outcome: Outcome) -> None:
        redone[outcome.frame.number] = outcome

    futures = [
        show_failure.submit(run, outcome, outcome.failure)
        if outcome.failure.final
        else retry_frame.submit(run, outcome.frame, outcome.failure, keep)
        for outcome in failed
        if outcome.failure
    ]
    for future in futures:
        future.wait()
    return list(redone.values())
