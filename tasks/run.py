"""What the steps of one run share: alive in this process, never given to Prefect.

Prefect keeps what a task run takes and returns; pictures and detections must not pile up there.
So the task runs hand each other a batch, and the batch's content lies on the run's desk until the
batch has been spooled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from attrs import define, field
from cvat_sdk import Client

from cvat_flows.tasks.check.remap import RemapOptions, remap_frame
from cvat_flows.tasks.check.validate import ValidationOptions, check_detections, validate_frame
from cvat_flows.tasks.detect.cache_writer import CacheWriter
from cvat_flows.tasks.detect.runner import FunctionRunner
from cvat_flows.tasks.detect.turns import TurnQueue
from cvat_flows.tasks.fetch.images import LoadedFrame
from cvat_flows.tasks.fetch.source import FrameSource
from cvat_flows.tasks.matching.match import SpecMatch
from cvat_flows.tasks.model.frames import Batch, Frame, Outcome, Step
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.reports.run_pictures import RunPictures
from cvat_flows.tasks.upload.spool import OutcomeSpool


class StepSeconds:
    """Wall time by step in seconds, summed over the task runs of the step. Thread-safe."""

    def __init__(self) -> None:
        self._seconds: dict[Step, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, step: Step) -> Iterator[None]:
        """Count the time until the block is left, however it is left."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begin
            with self._lock:
                self._seconds[step] = self._seconds.get(step, 0.0) + seconds

    def totals(self) -> dict[Step, float]:
        """In the order in which the steps first ended."""
        with self._lock:
            return dict(self._seconds)


@define(kw_only=True, eq=False)
class AnnotationRun:
    """One run of a function over a CVAT task."""

    client: Client
    media: TaskMedia
    match: SpecMatch
    source: FrameSource
    cache: CacheWriter | None
    validation: ValidationOptions
    remapping: RemapOptions
    runner: FunctionRunner
    raise_at_once: bool = False
    """Let the first exception out as it is, and look at each output before the function is called
    again, as the SDK's driver does. A function with `detect_batch` is looked at a batch at a time.
    Otherwise a failed frame gets another attempt, on its own."""
    pictures: RunPictures | None = None
    """What is kept to be shown afterwards; None for nothing."""
    seconds: StepSeconds = field(factory=StepSeconds)
    spool: OutcomeSpool = field(factory=OutcomeSpool)
    turns: TurnQueue = field(factory=TurnQueue)
    """Of the batches with the function: the next one's task run begins while it is still busy."""
    _fetched: dict[int, list[LoadedFrame]] = field(factory=dict, init=False)
    _outcomes: dict[int, list[Outcome]] = field(factory=dict, init=False)
    _function_in_use: threading.Lock = field(factory=threading.Lock, init=False)

    def fetch(self, batch: Batch) -> None:
        """Download and decode the batch's images, or learn that they need not be."""
        with self.seconds.of("fetch"):
            self._fetched[batch.index] = self.source.fetch(batch)
        if self.pictures:
            self.pictures.note(self._fetched[batch.index])

    def detect(self, batch: Batch) -> None:
        """Run the function over the fetched images, when it is the batch's turn, and let go of
        them. Raises TurnCancelled if the run ends before."""
        with self.turns.turn(batch.index), self.seconds.of("detect"):
            self._outcomes[batch.index] = self._detect(self._fetched.pop(batch.index))

    def validate(self, batch: Batch) -> None:
        """Check what the function returned."""
        with self.seconds.of("validate"):
            self._each(batch, self._validate)

    def remap(self, batch: Batch) -> None:
        """Put the CVAT task's ids in place of the function's."""
        with self.seconds.of("remap"):
            self._each(batch, self._remap)

    def take(self, batch: Batch) -> list[Outcome]:
        """Take the batch's outcomes off the desk."""
        return self._outcomes.pop(batch.index)

    def drop(self, batch: Batch) -> None:
        """Forget a batch that will not be finished."""
        self._fetched.pop(batch.index, None)
        self._outcomes.pop(batch.index, None)

    def redo(self, frame: Frame) -> Outcome:
        """All steps for one frame, from its download on, whatever the cache knows of it: it may
        be what was detected before that is at fault."""
        (outcome,) = self._detect([self.source.fetch_image(frame)])
        return self._remap(self._validate(outcome))

    def _detect(self, loaded: list[LoadedFrame]) -> list[Outcome]:
        with self._function_in_use:
            if not self.raise_at_once or self.runner.takes_batches:
                return self.runner.run(loaded, save=self._keep)
            outcomes = [self._detect_strictly(frame) for frame in loaded]
            self._keep(outcomes)
            return outcomes

    def _keep(self, outcomes: list[Outcome]) -> None:
        if self.cache is not None:
            self.cache.put(outcomes)

    def _detect_strictly(self, frame: LoadedFrame) -> Outcome:
        (outcome,) = self.runner.run([frame])
        if outcome.detections is not None:
            check_detections(outcome.detections, self.match, self.validation)
        return outcome

    def _validate(self, outcome: Outcome) -> Outcome:
        return validate_frame(outcome, self.match, self.validation)

    def _remap(self, outcome: Outcome) -> Outcome:
        return remap_frame(outcome, self.match, self.remapping)

    def _each(self, batch: Batch, step: Callable[[Outcome], Outcome]) -> None:
        # A list of its own: a step that is retried starts from what it was given.
        self._outcomes[batch.index] = [step(outcome) for outcome in self._outcomes[batch.index]]

    def __enter__(self) -> AnnotationRun:
        self.source.__enter__()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.source.close()
        self.runner.close()
        self.spool.close()
        if self.cache is not None:
            self.cache.close()
