"""One run of a function over a CVAT task, and what its steps share.

Prefect keeps what a task run returns, so images and detections are never returned. The task runs of
a batch take the same `BatchWork`, in this process, and each replaces its content.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType

from attrs import define, evolve, field
from cvat_sdk import Client

from aa_functions.inputs.watched import Watched
from cvat_flows.tasks.check.remap import RemapOptions, remap_frame
from cvat_flows.tasks.check.validate import ValidationOptions, check_detections, validate_frame
from cvat_flows.tasks.detect.cache_writer import CacheWriter
from cvat_flows.tasks.detect.call_notes import DEADLY, CallNotes
from cvat_flows.tasks.detect.present import PresentAnnotations
from cvat_flows.tasks.detect.runner import FunctionRunner
from cvat_flows.tasks.detect.turns import TurnQueue
from cvat_flows.tasks.fetch.images import LoadedFrame
from cvat_flows.tasks.fetch.source import FrameSource
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.frames import Batch, Failure, Frame, Outcome, Step
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.reports.run_pictures import RunPictures
from cvat_flows.tasks.upload.frames.spool import OutcomeSpool


class StepTimer:
    """Sums the wall time of each step over its task runs. Thread-safe."""

    def __init__(self) -> None:
        self._seconds: dict[Step, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, step: Step) -> Iterator[None]:
        """Add the block's wall time to the step, also if the block raises."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begin
            with self._lock:
                self._seconds[step] = self._seconds.get(step, 0.0) + seconds

    def totals(self) -> dict[Step, float]:
        """Return seconds by step, in the order in which the steps first ended."""
        with self._lock:
            return dict(self._seconds)


@define(eq=False)
class BatchWork:
    """A batch on its way through the steps, with what the last step left."""

    batch: Batch
    images: list[LoadedFrame] = field(factory=list, repr=False)
    """Fetched and not yet detected on."""
    outcomes: list[Outcome] = field(factory=list, repr=False)
    shown: int = 0
    """Frames that the progress counts already."""

    def __str__(self) -> str:
        return str(self.batch)


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
    strict: bool = False
    """Raise the first exception unchanged, and check each output before the next call, as the SDK's
    driver does. A function with `detect_batch` is checked after each batch. If false, a failed
    frame is tried again on its own."""
    watched: Watched | None = None
    """What the function reads, if it does not state its inputs."""
    forget_version: Callable[[str], None] = lambda path: None
    """Called once with the path of a file that decides results and is not in the function's
    fingerprint. From then on nothing may be stored under the fingerprint."""
    present: PresentAnnotations | None = None
    """What is on the frames, if the function needs that."""
    notes: CallNotes | None = None
    """Which frames are with the function, for a run after the death of this process."""
    pictures: RunPictures | None = None
    """Pictures for the reports; None if there are no reports."""
    timer: StepTimer = field(factory=StepTimer)
    spool: OutcomeSpool = field(factory=OutcomeSpool)
    turns: TurnQueue = field(factory=TurnQueue)
    """Order in which the batches use the function. The task run of the next batch can begin while
    the function is busy."""
    advance: Callable[[int], None] = lambda frames: None
    """Receives the number of frames after each call of the function."""
    _is_forgotten: bool = field(default=False, init=False)
    _function_lock: threading.Lock = field(factory=threading.Lock, init=False)

    def fetch(self, work: BatchWork) -> None:
        """Download and decode the batch's images, except those with cached detections."""
        with self.timer.measure("fetch"):
            work.images = self.source.fetch(work.batch)
        if self.pictures:
            self.pictures.add_images(work.images)

    def detect(self, work: BatchWork) -> None:
        """Wait for the batch's turn, call the function on the images and release them.

        Raises TurnCancelled if the run ends before the batch's turn.
        """
        images, work.images = [self._refuse_deadly(one) for one in work.images], []
        # The note gets this batch while the function still has the one before, and loses it while
        # the function has the next one: the function never waits for the storage.
        with (
            self._noting(images),
            self.turns.turn(work.batch.index),
            self.timer.measure("detect"),
        ):

            def advance(frames: int) -> None:
                work.shown += frames
                self.advance(frames)

            work.outcomes = self._detect(images, advance)

    def validate(self, work: BatchWork) -> None:
        """Check what the function returned."""
        with self.timer.measure("validate"):
            work.outcomes = [self._validate(outcome) for outcome in work.outcomes]

    def remap(self, work: BatchWork) -> None:
        """Replace the function's ids by those of the CVAT task."""
        with self.timer.measure("remap"):
            work.outcomes = [self._remap(outcome) for outcome in work.outcomes]

    def retry(self, frame: Frame) -> Outcome:
        """Run all steps for one frame, from its download on.

        Ignores the cache: a cached detection may be the reason for the failure.
        """
        images = [self.source.fetch_image(frame)]
        with self._noting(images):
            (outcome,) = self._detect(images)
        return self._remap(self._validate(outcome))

    def _refuse_deadly(self, loaded: LoadedFrame) -> LoadedFrame:
        """Fail a frame on which the process has ended twice, so that it is not called again."""
        frame = loaded.frame
        if self.notes is None or frame.number not in self.notes.deadly or not loaded.picture:
            return loaded
        failure = Failure(
            step="detect", error=f"{frame}: {DEADLY}", error_type="ProcessEnded", final=True
        )
        return LoadedFrame(outcome=evolve(loaded.outcome, failure=failure))

    def _noting(self, loaded: list[LoadedFrame]) -> AbstractContextManager[None]:
        """Note that the function gets these images, unless `_noting_alone` notes it later."""
        called = _called(loaded)
        if self.notes is None or self.notes.is_alone(called):
            return nullcontext()
        return self.notes.calling(called)

    def _noting_alone(self, loaded: list[LoadedFrame]) -> AbstractContextManager[None]:
        """Note that the function gets nothing but this image, if it is called alone."""
        called = _called(loaded)
        if self.notes is None or not self.notes.is_alone(called):
            return nullcontext()
        return self.notes.calling_alone(called[0])

    def _detect(
        self, loaded: list[LoadedFrame], advance: Callable[[int], None] = lambda frames: None
    ) -> list[Outcome]:
        with self._function_lock, self._noting_alone(loaded):
            if not self.strict or self.runner.takes_batches:
                return self.runner.run(
                    loaded, save=self._save, check=self.turns.check, advance=advance
                )
            outcomes = []
            for frame in loaded:
                self.turns.check()
                outcomes.append(self._detect_strictly(frame))
                advance(1)
            self._save(outcomes)
            return outcomes

    def save_detected(self) -> None:
        """Save the detections of the batch that the function is busy with."""
        self.runner.save_detected(self._save)

    def _save(self, outcomes: list[Outcome]) -> None:
        if self.watched is not None and not self._is_forgotten:
            missing = self.watched.missing_input()
            if missing is not None:
                self._is_forgotten = True
                self.forget_version(missing)
        if self.cache is not None and not self._is_forgotten:
            self.cache.put(outcomes)

    def _detect_strictly(self, frame: LoadedFrame) -> Outcome:
        (outcome,) = self.runner.run([frame])
        if outcome.detections is not None:
            check_detections(outcome.detections, self.match, self.validation)
        return outcome

    def _validate(self, outcome: Outcome) -> Outcome:
        return validate_frame(outcome, self.match, self.validation)

    def _remap(self, outcome: Outcome) -> Outcome:
        if self.present is not None:
            outcome = evolve(outcome, present=self.present.digest(outcome.frame))
        return remap_frame(outcome, self.match, self.remapping)

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
        if self.notes is not None:
            self.notes.close()


def _called(loaded: list[LoadedFrame]) -> list[int]:
    """Return the numbers of the frames that the function gets."""
    return [one.frame.number for one in loaded if one.picture is not None]
