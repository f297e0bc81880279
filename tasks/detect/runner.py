"""Call an AA function on images, in batches where it supports them, and isolate bad frames."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from attrs import evolve
from cvat_sdk.auto_annotation import BadFunctionError

from aa_functions.errors import PictureError, text_of
from aa_functions.user_code import FunctionExit, contained
from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.detect.context import CallOptions
from cvat_flows.tasks.detect.memory import free_memory, is_out_of_memory
from cvat_flows.tasks.detect.present import PresentAnnotations
from cvat_flows.tasks.detect.returned import check_count, read_list, read_results
from cvat_flows.tasks.detect.timeout import CallTimedOut, FunctionHangs, TimeLimitedCaller
from cvat_flows.tasks.fetch.images import LoadedFrame
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.error_text import error_text, traceback_text
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.text import on_one_line

SAVE_INTERVAL = 2.0
"""Seconds. Detections are saved this often, so a killed run loses no more than that. Calls of a
slow `detect_batch` get so few images that they take about this long."""
MAX_ERROR_LENGTH = 300
"""Characters of the function's own error message that are quoted in a frame's error."""


class FunctionRunner:
    """Calls a function with its options, and learns how many images fit into memory at a time.

    `detect_batch(contexts, images)` is used if the function has it. It must return one sequence of
    annotations for each image.

    Args:
        function: An AA function.
        options: What the function is told on each call.
        max_shapes_per_frame: A frame with more annotations fails; None for no limit.
        detect_timeout: Seconds that a call may take. With None a call may take any time, and runs
            in the caller's thread.
        strict: Let `run` raise the function's first exception.
        observing: Makes a context manager around each use of the function.
        present: What is on the frames, if the function needs that.
    """

    def __init__(
        self,
        function: Any,
        *,
        options: CallOptions | None = None,
        max_shapes_per_frame: int | None = None,
        detect_timeout: float | None = None,
        strict: bool = False,
        observing: Callable[[], AbstractContextManager[None]] = nullcontext,
        present: PresentAnnotations | None = None,
    ) -> None:
        self._detect: Callable[..., Any] = function.detect
        batch = getattr(function, "detect_batch", None)
        self._detect_batch: Callable[..., Any] | None = batch if callable(batch) else None
        self._options = options or CallOptions()
        self._max_shapes = max_shapes_per_frame
        self._caller = None if detect_timeout is None else TimeLimitedCaller(detect_timeout)
        self._strict = strict
        self._observing = observing
        self._present = present
        self.max_images: int | None = None
        """Most images in a call; None until memory runs out for the first time."""
        self._unsaved: list[Outcome] = []
        self._unsaved_lock = threading.Lock()
        self._seconds_per_image = 0.0
        """Of the last call; 0 before the first one."""

    @property
    def takes_batches(self) -> bool:
        """Whether the function has a `detect_batch`."""
        return self._detect_batch is not None

    def run(
        self,
        frames: list[LoadedFrame],
        *,
        save: Callable[[list[Outcome]], None] = lambda outcomes: None,
        check: Callable[[], None] = lambda: None,
        advance: Callable[[int], None] = lambda frames: None,
    ) -> list[Outcome]:
        """Detect on every frame that has an image.

        Empties `frames`: each image is released after detection.

        If a call fails, it is repeated on halves, with fresh images, until the frame at fault is
        alone. That frame's outcome has a `failure`. If a call times out, it is repeated on single
        frames, because each half that hangs costs the whole time limit again. If memory runs out,
        later calls get fewer images, too.

        Frames that failed before and frames with cached detections pass through. `save` receives
        the outcomes of the others in parts, every SAVE_INTERVAL. `check` is called before each
        call of the function; what it raises ends the work. `advance` receives the number of images
        after each call.

        Returns one outcome for each frame, in order. Raises FunctionHangs.
        """
        done = {frame.frame.number: frame.outcome for frame in frames}
        waiting = [frame for frame in frames if frame.picture is not None]
        frames.clear()
        last_save = begin = time.perf_counter()
        try:
            while waiting:
                check()
                count = self._next_call_size(len(waiting))
                part, waiting = waiting[:count], waiting[count:]
                outcomes = self._run(part)
                done |= {outcome.frame.number: outcome for outcome in outcomes}
                with self._unsaved_lock:
                    self._unsaved += outcomes
                advance(len(part))
                now = time.perf_counter()
                self._seconds_per_image = (now - begin) / len(part)
                begin = now
                if now - last_save >= SAVE_INTERVAL:
                    self.save_detected(save)
                    last_save = now
        finally:  # also when a call raises
            self.save_detected(save)
        return list(done.values())

    def save_detected(self, save: Callable[[list[Outcome]], None]) -> None:
        """Save what is detected and not yet saved, also while another thread is in a call."""
        with self._unsaved_lock:
            unsaved, self._unsaved = self._unsaved, []
        if unsaved:
            save(unsaved)

    def _next_call_size(self, waiting: int) -> int:
        if self._detect_batch is None:
            return 1
        calls = math.ceil(waiting * self._seconds_per_image / SAVE_INTERVAL) or 1
        return min(math.ceil(waiting / calls), self.max_images or waiting)

    def close(self) -> None:
        """End the thread that calls the function."""
        if self._caller is not None:
            self._caller.close()

    def _run(self, part: Sequence[LoadedFrame], *, retry: bool = False) -> list[Outcome]:
        """Make one call. If it fails, call again on smaller parts with freshly decoded images."""
        begin = time.perf_counter()
        try:
            images = [loaded.fresh() for loaded in part] if retry else part
            results = self._limit_time(part[0].frame, self._call, images)
        except Exception as error:
            if len(part) == 1:
                seconds = time.perf_counter() - begin
                return [self._failed(part[0], error, seconds)]
            out_of_memory = is_out_of_memory(error)
            if isinstance(error, FunctionHangs) or (self._strict and not out_of_memory):
                raise
            size = 1 if isinstance(error, CallTimedOut) else (len(part) + 1) // 2
            if out_of_memory:
                self.max_images = min(self.max_images or len(part), len(part) // 2)
            # The traceback holds the failed call's stack frames, and these hold its tensors.
            del error
        else:
            seconds = (time.perf_counter() - begin) / len(part)
            return [
                self._read(loaded, result, seconds)
                for loaded, result in zip(part, results, strict=True)
            ]
        free_memory()
        return [
            outcome
            for first in range(0, len(part), size)
            for outcome in self._run(part[first : first + size], retry=True)
        ]

    def _limit_time(self, frame: Frame, call: Callable[[Any], Any], argument: Any) -> Any:
        """Call with the time limit, if there is one. Raises CallTimedOut or FunctionHangs."""
        if self._caller is None:
            return call(argument)
        return self._caller(str(frame), call, argument)

    def _call(self, part: Sequence[LoadedFrame]) -> list[Any]:
        contexts = [
            self._options.context(
                loaded.frame, self._present.of(loaded.frame) if self._present else None
            )
            for loaded in part
        ]
        images = [loaded.image for loaded in part]
        with self._observing(), contained():
            if self._detect_batch is None:
                # A generator does its work here, within the call's time limit.
                return [read_list(self._detect(contexts[0], images[0]), self._max_shapes)]
            return read_results(self._detect_batch(contexts, images), images=len(part))

    def _read(self, loaded: LoadedFrame, result: Iterable[Any], seconds: float) -> Outcome:
        """Make an outcome of a result. A result can be a generator, so this can fail as well."""
        begin = time.perf_counter()
        try:
            with self._observing(), contained():
                detections = self._detections(loaded.frame, result)
        except Exception as error:
            return self._failed(loaded, error, seconds + time.perf_counter() - begin)
        seconds += time.perf_counter() - begin
        return evolve(loaded.outcome, detections=detections, seconds=seconds)

    def _detections(self, frame: Frame, result: Iterable[Any]) -> tuple[Detection, ...]:
        is_complete = isinstance(result, list | tuple)
        annotations = (
            read_list(result, self._max_shapes)
            if is_complete
            else self._limit_time(frame, self._read_all, result)
        )
        check_count(annotations, self._max_shapes)
        return read_output(annotations)

    def _read_all(self, result: Any) -> list[Any]:
        with self._observing(), contained():
            return read_list(result, self._max_shapes)

    def _failed(self, loaded: LoadedFrame, error: Exception, seconds: float) -> Outcome:
        if self._strict or isinstance(error, FunctionHangs):
            raise error
        raised: BaseException = error
        text = error_text(error, MAX_ERROR_LENGTH)
        if isinstance(error, FunctionExit):
            raised = error.__cause__ or error
            text = on_one_line(text_of(error), MAX_ERROR_LENGTH)
        return evolve(
            loaded.outcome,
            seconds=seconds,
            failure=Failure(
                step="detect",
                error=f"the function failed on {loaded.frame}: {text}",
                error_type=type(raised).__name__,
                detail=traceback_text(error),
                final=isinstance(
                    error, CallTimedOut | BadFunctionError | PictureError | FunctionExit
                ),
            ),
        )
