"""Run an AA function over images: in batches where it can, so that no frame spoils another."""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from attrs import evolve, frozen
from cvat_sdk.auto_annotation import BadFunctionError, DetectionFunctionContext

from cvat_flows.tasks.check.read_output import read_output
from cvat_flows.tasks.detect.timeout import CallInTime, KeepsHanging, NoAnswer
from cvat_flows.tasks.fetch.images import LoadedFrame
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome

MAX_SHAPES_PER_FRAME = 100_000
"""A guard against a function that never stops, not a matter of taste."""
SECONDS_A_PART = 2.0
"""About so long are the calls of a slow `detect_batch`, and so often is handed on what was
detected: a killed run has lost no more of it, however long a batch takes."""
LONGEST_ERROR = 300
"""Characters of a function's own message that go into the sentence about a frame."""


@frozen(kw_only=True)
class DetectionContext(DetectionFunctionContext):  # type: ignore[misc]
    """What the protocol tells a function about an image (cvat_sdk.auto_annotation)."""

    frame_name: str
    conf_threshold: float | None = None
    conv_mask_to_poly: bool = False


class TooManyAnnotations(BadFunctionError):  # type: ignore[misc]
    """A function returned more for one frame than is allowed."""


class FunctionRunner:
    """A function with its options, and the number of images that it is known to bear at once.

    `detect_batch(contexts, images)` is used if the function has one: it must return one sequence a
    frame. With `strict`, the first exception of the function leaves `run` as it is.
    """

    def __init__(
        self,
        function: Any,
        *,
        conf_threshold: float | None = None,
        conv_mask_to_poly: bool = False,
        max_shapes_per_frame: int | None = MAX_SHAPES_PER_FRAME,
        detect_timeout: float | None = None,
        strict: bool = False,
    ) -> None:
        """`detect_timeout`: seconds that a call may take; None for any time, in the caller's
        thread."""
        self._detect: Callable[..., Any] = function.detect
        batch = getattr(function, "detect_batch", None)
        self._detect_batch: Callable[..., Any] | None = batch if callable(batch) else None
        self._conf_threshold = conf_threshold
        self._conv_mask_to_poly = conv_mask_to_poly
        self._limit = max_shapes_per_frame
        self._in_time = None if detect_timeout is None else CallInTime(detect_timeout)
        self._strict = strict
        self.images_at_once: int | None = None
        """None as long as memory has not run out."""
        self._seconds_an_image = 0.0
        """As the last call was; 0 before there was one."""

    @property
    def takes_batches(self) -> bool:
        """Whether the function has a `detect_batch`."""
        return self._detect_batch is not None

    def run(
        self,
        frames: list[LoadedFrame],
        *,
        keep: Callable[[list[Outcome]], None] = lambda outcomes: None,
    ) -> list[Outcome]:
        """Detect on every frame that has an image; return one outcome a frame, in order.

        Leaves the list empty: an image goes when it has been looked at. `keep` is handed the
        outcomes of frames with an image, some of them every other second.

        Frames that failed before or whose detections are known pass through. A call that fails is
        repeated on halves, with fresh images, until the frame at fault is alone; it comes back
        with a `failure`. One that takes too long is repeated on single frames at once: each that
        hangs again costs the whole time. When memory runs out, later calls get fewer images too.
        KeyboardInterrupt and SystemExit always leave as they are; so does KeepsHanging.
        """
        done = {frame.frame.number: frame.outcome for frame in frames}
        waiting = [frame for frame in frames if frame.picture is not None]
        frames.clear()
        to_keep: list[Outcome] = []
        kept = begin = time.perf_counter()
        try:
            while waiting:
                count = self._images_for_a_call(len(waiting))
                part, waiting = waiting[:count], waiting[count:]
                outcomes = self._run(part)
                done |= {outcome.frame.number: outcome for outcome in outcomes}
                to_keep += outcomes
                now = time.perf_counter()
                self._seconds_an_image = (now - begin) / len(part)
                begin = now
                if now - kept >= SECONDS_A_PART:
                    keep(to_keep)
                    to_keep, kept = [], now
        finally:  # whatever ends it
            if to_keep:
                keep(to_keep)
        return list(done.values())

    def _images_for_a_call(self, waiting: int) -> int:
        if self._detect_batch is None:
            return 1
        calls = math.ceil(waiting * self._seconds_an_image / SECONDS_A_PART) or 1
        return min(math.ceil(waiting / calls), self.images_at_once or waiting)

    def close(self) -> None:
        """Let go of the thread for calls."""
        if self._in_time is not None:
            self._in_time.close()

    def _run(self, part: Sequence[LoadedFrame], *, again: bool = False) -> list[Outcome]:
        """One call; if it fails, one on each half with the images as they were before."""
        begin = time.perf_counter()
        try:
            images = [loaded.fresh() for loaded in part] if again else part
            results = self._timed(part[0].frame, self._call, images)
        except Exception as error:
            if len(part) == 1:
                seconds = time.perf_counter() - begin
                return [self._failed(part[0], error, seconds)]
            out_of_memory = is_out_of_memory(error)
            if isinstance(error, KeepsHanging) or (self._strict and not out_of_memory):
                raise
            size = 1 if isinstance(error, NoAnswer) else (len(part) + 1) // 2
            if out_of_memory:
                self.images_at_once = min(self.images_at_once or len(part), len(part) // 2)
            # The traceback holds the failed call's frames, and with them its tensors.
            del error
        else:
            seconds = (time.perf_counter() - begin) / len(part)
            return [
                self._read(loaded, result, seconds)
                for loaded, result in zip(part, results, strict=True)
            ]
        _free_memory()
        return [
            outcome
            for first in range(0, len(part), size)
            for outcome in self._run(part[first : first + size], again=True)
        ]

    def _timed(self, frame: Frame, call: Callable[[Any], Any], argument: Any) -> Any:
        """Raises NoAnswer or KeepsHanging if the call takes too long."""
        if self._in_time is None:
            return call(argument)
        return self._in_time(str(frame), call, argument)

    def _call(self, part: Sequence[LoadedFrame]) -> list[Any]:
        contexts = [self._context(loaded.frame) for loaded in part]
        images = [loaded.image for loaded in part]
        if self._detect_batch is None:
            # A generator's work is part of the call: it has the call's time.
            return [self._listed(self._detect(contexts[0], images[0]))]
        returned = self._detect_batch(contexts, images)
        results = list(islice(returned, len(part) + 1))
        if len(results) != len(part):
            count = "more" if len(results) > len(part) else str(len(results))
            raise BadFunctionError(
                f"detect_batch returned {count} results for {len(part)} images; it must return "
                "one sequence of annotations for each image"
            )
        return results

    def _context(self, frame: Frame) -> DetectionContext:
        return DetectionContext(
            frame_name=frame.name,
            conf_threshold=self._conf_threshold,
            conv_mask_to_poly=self._conv_mask_to_poly,
        )

    def _read(self, loaded: LoadedFrame, result: Iterable[Any], seconds: float) -> Outcome:
        """What came back may be a generator, so that the function can fail here as well."""
        begin = time.perf_counter()
        try:
            detections = self._detections(loaded.frame, result)
        except Exception as error:
            return self._failed(loaded, error, seconds + time.perf_counter() - begin)
        seconds += time.perf_counter() - begin
        return evolve(loaded.outcome, detections=detections, seconds=seconds)

    def _detections(self, frame: Frame, result: Iterable[Any]) -> tuple[Detection, ...]:
        if result is None:
            raise BadFunctionError("the function returned None instead of a list of annotations")
        made = isinstance(result, list | tuple)
        annotations = self._listed(result) if made else self._timed(frame, self._listed, result)
        if self._limit is not None and len(annotations) > self._limit:
            raise TooManyAnnotations(
                f"the function returned more than {self._limit:,} annotations for one frame; "
                "raise conf_threshold or max_shapes_per_frame"
            )
        return read_output(annotations)

    def _listed(self, result: Any) -> Any:
        """One annotation more than may be is enough to know that there are too many."""
        if result is None:
            return None
        return list(result if self._limit is None else islice(result, self._limit + 1))

    def _failed(self, loaded: LoadedFrame, error: Exception, seconds: float) -> Outcome:
        if self._strict or isinstance(error, KeepsHanging):
            raise error
        return evolve(
            loaded.outcome,
            seconds=seconds,
            failure=Failure(
                step="detect",
                error=f"the function failed on {loaded.frame}: {_said(error)}",
                error_type=type(error).__name__,
                detail="".join(traceback.format_exception(error)),
                final=isinstance(error, NoAnswer),
            ),
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether fewer images at once may help: as Python, torch and other runtimes say it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in said
        for words in ("out of memory", "can't allocate memory", "failed to allocate memory")
    )


def _free_memory() -> None:
    """Give back what torch keeps for reuse, if the function brought torch along."""
    torch = sys.modules.get("torch")
    if torch is not None:
        with suppress(Exception):
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()


def _said(error: Exception) -> str:
    """A function's error on one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    name = type(error).__name__
    if len(text) > LONGEST_ERROR:
        text = text[:LONGEST_ERROR] + "…"
    return f"{name}: {text}" if text else name
