"""Failed frames are tried again beside the detection."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, evolve

from cvat_flows.flows.run import collect
from cvat_flows.flows.run.collect import MAX_WAITING, Collector
from cvat_flows.flows.run.live import NoProgress
from cvat_flows.tasks.model.frames import Batch, Failure, Frame, Outcome
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import BatchWork

FAILURE = Failure(step="detect", error="no", error_type="ValueError")


@define
class Attempt:
    """A frame that is being tried again until a test ends it."""

    outcome: Outcome
    keep: Any
    waited: bool = False
    over: bool = False

    def end(self) -> None:
        self.keep(evolve(self.outcome, failure=None, annotations=()))
        self.over = True

    def is_over(self) -> bool:
        return self.over

    def wait(self) -> None:
        self.waited = True
        if not self.over:
            self.end()


def _ignore(batch: Batch, outcomes: Iterable[Outcome]) -> None:
    """Stands for the spool."""


class Batches:
    """A collector, batches of one frame each, and what became of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
        self.attempts: list[Attempt] = []
        self.done: list[int] = []
        self.made = 0
        monkeypatch.setattr(collect, "retry_frame", SimpleNamespace(submit=self._submit))
        run: Any = SimpleNamespace(
            strict=False, pictures=None, spool=SimpleNamespace(write=_ignore)
        )
        media: Any = TaskMedia.__new__(TaskMedia)
        self.report = RunReport(media=media, function="f", fingerprint=None, labels=())
        plan: Any = SimpleNamespace(frame_count=100)
        self.collector = Collector(
            run=run,
            plan=plan,
            report=self.report,
            progress=NoProgress(),
            allowed=allowed,
            frames_done=lambda frames: self.done.extend(frame.number for frame in frames),
        )

    def _submit(self, run: Any, frame: Frame, failure: Failure, keep: Any) -> Attempt:
        self.attempts.append(Attempt(Outcome(frame=frame, failure=failure), keep))
        return self.attempts[-1]

    def finish(self, failure: Failure | None = None) -> bool:
        """Finish the next batch."""
        number = self.made
        self.made += 1
        frame = Frame(number=number, name="a", width=1, height=1, chunk=0, job_ids=(1,))
        outcome = Outcome(frame=frame, failure=failure, annotations=None if failure else ())
        work = BatchWork(Batch(index=number, frames=(frame,)), outcomes=[outcome])
        return self.collector.finish(work)


def test_the_detection_does_not_wait_for_a_frame_that_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = Batches(monkeypatch, allowed=5)
    assert batches.finish(FAILURE)
    assert batches.finish()
    assert batches.done == [1]
    (attempt,) = batches.attempts
    assert not attempt.waited
    attempt.end()
    assert batches.finish()
    assert batches.done == [1, 0, 2]
    assert batches.report.failed_count == 0


def test_at_the_end_all_attempts_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Batches(monkeypatch, allowed=5)
    batches.finish(FAILURE)
    batches.finish(FAILURE)
    assert batches.done == []
    assert batches.collector.settle()
    assert batches.done == [0, 1]
    assert all(attempt.waited for attempt in batches.attempts)


def test_a_bounded_number_of_batches_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Batches(monkeypatch, allowed=50)
    for _ in range(MAX_WAITING):
        batches.finish(FAILURE)
    assert batches.done == []
    batches.finish(FAILURE)
    assert batches.done == list(range(MAX_WAITING + 1))


def test_before_the_run_stops_the_frames_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Batches(monkeypatch, allowed=1)
    assert batches.finish(FAILURE)
    assert batches.finish(FAILURE)  # Both recover.
    assert batches.report.stopped is None
    assert batches.done == [0, 1]
    final = evolve(FAILURE, step="validate")
    monkeypatch.setattr(
        collect,
        "show_failure",
        SimpleNamespace(submit=lambda run, outcome, failure: Attempt(outcome, lambda _: None)),
    )
    assert batches.finish(final)
    assert not batches.finish(final)
    assert batches.report.stopped is not None
    assert batches.report.stopped.startswith("2 of 4 frames failed, the limit is 1")
