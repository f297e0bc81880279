"""Collect the outcomes of batches, and have failed frames tried again beside the detection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from attrs import define, evolve, field

from cvat_flows.flows.run.live import Progress
from cvat_flows.tasks.engine.engine import StepRun
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.frames import Batch, Frame, Outcome
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.failed_frames import MAX_SHOWN
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import AnnotationRun, BatchWork
from cvat_flows.tasks.steps import is_worth_retrying, retry_frame, show_failure

MAX_WAITING = 8
"""Batches whose failed frames are being tried again. Their outcomes are in memory, without images.
The attempts of a frame are seconds apart, and the detection goes on meanwhile."""


@define(kw_only=True, eq=False)
class _Waiting:
    """A batch whose failed frames are being tried again, or shown."""

    batch: Batch
    outcomes: dict[int, Outcome]
    failed: int
    """Number of failed frames, before they are tried again."""
    steps: list[StepRun] = field(factory=list)


@define(kw_only=True, eq=False)
class Collector:
    """Writes outcomes to the spool and the report. For the thread of the run."""

    run: AnnotationRun
    plan: Plan
    report: RunReport
    progress: Progress
    allowed: int
    """Number of frames that may fail."""
    frames_done: Callable[[Sequence[Frame]], None]
    """Receives the frames of each batch whose outcomes are in the spool."""
    _waiting: deque[_Waiting] = field(factory=deque, init=False)

    def finish(self, work: BatchWork) -> bool:
        """Collect a batch after its last step. Return whether to go on.

        Sets `report.stopped` and returns False if more frames failed than are allowed.
        """
        outcomes = {outcome.frame.number: outcome for outcome in work.outcomes}
        # Prefect may keep the steps' arguments for a while.
        work.outcomes = []
        self.progress.advance(len(work.batch.frames) - work.shown)
        failed = [outcome for outcome in outcomes.values() if outcome.failure]
        waiting = _Waiting(batch=work.batch, outcomes=outcomes, failed=len(failed))
        waiting.steps += self._try_again(failed, waiting)
        self._waiting.append(waiting)
        if self._failed_so_far() > self.allowed or len(self._waiting) > MAX_WAITING:
            return self.settle()
        self._settle([one for one in self._waiting if all(step.is_over() for step in one.steps)])
        return True

    def settle(self) -> bool:
        """Wait until all failed frames have been tried again. Return whether to go on."""
        self._settle(list(self._waiting))
        return self.report.stopped is None

    def steps(self) -> list[StepRun]:
        """Return the steps that are under way."""
        return [step for waiting in self._waiting for step in waiting.steps]

    def _failed_so_far(self) -> int:
        return self.report.failed_count + sum(waiting.failed for waiting in self._waiting)

    def _try_again(self, failed: Sequence[Outcome], waiting: _Waiting) -> Iterator[StepRun]:
        """Show each failed frame as a failed task run, which tries it again first if that may help.

        One more failed frame than allowed is enough to know that the run must stop. And after the
        first hundred failed frames, no others are retried and shown.
        """
        if self.run.strict:
            return
        room = self.run.pictures.failed.room if self.run.pictures else MAX_SHOWN
        under_way = len(self.steps())
        most = min(self.allowed - self._failed_so_far() + 1, room - under_way)

        def keep(outcome: Outcome) -> None:
            waiting.outcomes[outcome.frame.number] = outcome

        for outcome in failed[: max(0, most)]:
            assert outcome.failure is not None
            if is_worth_retrying(outcome):
                yield retry_frame.submit(self.run, outcome.frame, outcome.failure, keep)
            else:
                yield show_failure.submit(self.run, outcome, outcome.failure)

    def _settle(self, settled: Sequence[_Waiting]) -> None:
        for waiting in settled:
            for step in waiting.steps:
                step.wait()
            self._waiting.remove(waiting)
            self._write(waiting)

    def _write(self, waiting: _Waiting) -> None:
        outcomes = waiting.outcomes.values()
        self.report.add(outcomes)
        if self.run.pictures:
            self.run.pictures.add_outcomes(outcomes)
        self.run.spool.write(waiting.batch, (evolve(o, detections=None) for o in outcomes))
        if self.report.failed_count > self.allowed:
            self.report.stopped = self._why_stopped()
        elif self.report.stopped is None:
            self.frames_done(waiting.batch.frames)

    def _why_stopped(self) -> str:
        first = self.report.failed[0]
        planned = self.plan.frame_count
        processed = self.report.failed_count + self.report.count("annotated")
        rest = ""
        if planned > processed:
            were = "was" if planned - processed == 1 else "were"
            rest = f" {counted(planned - processed, 'frame')} {were} not looked at."
        return (
            f"{self.report.failed_count:,} of {counted(processed, 'frame')} failed, the limit is "
            f"{self.allowed:,}, so something may be wrong with the whole run. If not, raise "
            f"--max-failed-frames.{rest} The first failed frame is {first.frame} {first.name}: "
            f"{first.error}"
        )
