from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import attrs
import cvat_sdk.auto_annotation as cvataa
import PIL.Image
import pytest

from aa_functions.errors import PictureError
from aa_functions.user_code import FunctionExit
from cvat_flows.tasks.detect.context import CallOptions
from cvat_flows.tasks.detect.runner import FunctionRunner
from cvat_flows.tasks.detect.timeout import MAX_CONSECUTIVE_TIMEOUTS, FunctionHangs
from cvat_flows.tasks.fetch.images import LoadedFrame, decode_picture, hash_file
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from tests.support.waiting import wait_until


def loaded(number: int, *, name: str | None = None) -> LoadedFrame:
    """A frame whose image is (10 + number) pixels wide."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (10 + number, 8), (number, 0, 0)).save(file, "PNG")
    frame = Frame(
        number=number, name=name or f"im{number}.png", width=10, height=8, chunk=0, job_ids=(1,)
    )
    content = file.getvalue()
    content_hash = hash_file(content)
    return LoadedFrame(
        outcome=Outcome(frame=frame, content_hash=content_hash),
        picture=decode_picture(content, content_hash, [(10 + number, 8)]),
    )


def frames(count: int) -> list[LoadedFrame]:
    return [loaded(n) for n in range(count)]


def run_function(function: Any, frames: Sequence[LoadedFrame], **options: Any) -> list[Outcome]:
    return FunctionRunner(function, **options).run(frames)


def box(image: PIL.Image.Image) -> list[Any]:
    """Return a box that shows which image it is from and whether the image was drawn on."""
    red, green, _ = image.getpixel((0, 0))
    return [cvataa.rectangle(0, [0, green, image.width, red])]


class OneByOne:
    """A plain AA function. It calls `on(number)` before each result."""

    spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec("car", 0)])

    def __init__(self, on: Callable[[int], None] = lambda number: None) -> None:
        self.on = on
        self.calls: list[list[int]] = []
        self.contexts: list[Any] = []

    def detect(self, context: Any, image: PIL.Image.Image) -> Any:
        self.contexts.append(context)
        self.calls.append([image.width - 10])
        self.on(image.width - 10)
        return box(image)


class InBatches(OneByOne):
    """The same function with `detect_batch`."""

    def detect_batch(self, contexts: Sequence[Any], images: Sequence[PIL.Image.Image]) -> Any:
        self.contexts.extend(contexts)
        numbers = [image.width - 10 for image in images]
        self.calls.append(numbers)
        for number in numbers:
            self.on(number)
        return [box(image) for image in images]


def fail_on(*bad: int, error: BaseException | None = None) -> Callable[[int], None]:
    def on(number: int) -> None:
        if number in bad:
            raise error or ValueError(f"cannot read {number}")

    return on


def points(outcome: Outcome) -> tuple[float, ...]:
    assert outcome.detections is not None
    (detection,) = outcome.detections
    return detection.points


def failures(outcomes: Sequence[Outcome]) -> dict[int, Failure]:
    return {o.frame.number: o.failure for o in outcomes if o.failure}


@pytest.mark.parametrize("kind", [OneByOne, InBatches])
def test_each_frame_gets_what_was_detected_on_it(kind: type[OneByOne]) -> None:
    function = kind()
    options = CallOptions(conf_threshold=0.4, conv_mask_to_poly=True)
    outcomes = run_function(function, frames(5), options=options)
    assert [outcome.frame.number for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert [points(outcome) for outcome in outcomes] == [(0, 0, 10 + n, n) for n in range(5)]
    assert all(outcome.seconds > 0 and outcome.failure is None for outcome in outcomes)
    assert len(function.calls) == (5 if kind is OneByOne else 1)
    context = function.contexts[3]
    assert isinstance(context, cvataa.DetectionFunctionContext)
    assert (context.frame_name, context.conf_threshold) == ("im3.png", 0.4)
    assert context.conv_mask_to_poly is True
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        context.conf_threshold = 0.1


def test_the_context_defaults_are_those_of_the_sdk() -> None:
    function = OneByOne()
    run_function(function, frames(1))
    (context,) = function.contexts
    assert (context.conf_threshold, context.conv_mask_to_poly) == (None, False)


def test_frames_without_an_image_pass_through() -> None:
    function = InBatches()
    failed = LoadedFrame(
        outcome=attrs.evolve(
            loaded(0).outcome, failure=Failure(step="fetch", error="torn", error_type="X")
        )
    )
    cached = LoadedFrame(outcome=attrs.evolve(loaded(1).outcome, detections=(), cached=True))
    outcomes = run_function(function, [failed, cached, loaded(2)])
    assert outcomes[:2] == [failed.outcome, cached.outcome]
    assert function.calls == [[2]]
    assert run_function(function, []) == []


@pytest.mark.parametrize("kind", [OneByOne, InBatches])
@pytest.mark.parametrize("bad", [(0,), (7,), (2, 3), (1, 4, 6), tuple(range(8))])
def test_a_frame_that_fails_costs_only_itself(kind: type[OneByOne], bad: tuple[int, ...]) -> None:
    outcomes = run_function(kind(fail_on(*bad)), frames(8))
    assert set(failures(outcomes)) == set(bad)
    for outcome in outcomes:
        if outcome.frame.number not in bad:
            assert points(outcome) == (0, 0, 10 + outcome.frame.number, outcome.frame.number)


def test_a_failure_says_what_happened() -> None:
    (outcome,) = run_function(OneByOne(fail_on(0)), [loaded(0, name="night.png")])
    failure = outcome.failure
    assert failure is not None
    assert failure.step == "detect"
    assert failure.error == (
        "the function failed on frame 0 · night.png: ValueError: cannot read 0"
    )
    assert failure.error_type == "ValueError"
    assert "Traceback" in failure.detail
    assert "in fail_on" in failure.detail or "in on" in failure.detail
    assert outcome.detections is None
    assert outcome.content_hash is not None


def test_a_failure_stays_one_short_line() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    long = run_function(OneByOne(fail_on(0, error=ValueError("x\n" * 5000))), frames(1))
    odd = run_function(OneByOne(fail_on(0, error=Odd())), frames(1))
    assert len(failures(long)[0].error) < 400
    assert "\n" not in failures(long)[0].error
    assert failures(odd)[0].error.endswith(": Odd")


def test_one_bad_frame_of_many_costs_few_calls() -> None:
    function = InBatches(fail_on(13))
    run_function(function, frames(32))
    assert len(function.calls) == 11
    assert function.calls[0] == list(range(32))


class DrawsThenFails(InBatches):
    def detect_batch(self, contexts: Sequence[Any], images: Sequence[PIL.Image.Image]) -> Any:
        for image in images:
            image.putpixel((0, 0), (99, 99, 99))
        return super().detect_batch(contexts, images) if len(images) == 1 else 1 / 0


def test_a_retry_gets_the_original_image() -> None:
    seen: list[tuple[int, ...]] = []

    class Records(DrawsThenFails):
        def detect_batch(self, contexts: Sequence[Any], images: Sequence[Any]) -> Any:
            seen.extend(image.getpixel((0, 0)) for image in images)
            return super().detect_batch(contexts, images)

    run_function(Records(), frames(4))
    assert (99, 99, 99) not in seen


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (lambda images: [[]] * (len(images) - 1), "detect_batch returned 0 results for 1 image"),
        (lambda images: [[]] * (len(images) + 1), "detect_batch returned more results for 1 im"),
        (lambda images: None, "the function returned None instead of a list of results"),
        (lambda images: [None] * len(images), "returned None instead of a list of annotations"),
        (lambda images: [5] * len(images), "returned an object of type int instead of a list"),
    ],
)
def test_a_batch_result_of_the_wrong_form_fails_every_frame(
    returned: Callable[[Any], Any], error: str
) -> None:
    class Wrong(OneByOne):
        def detect_batch(self, contexts: Any, images: Any) -> Any:
            return returned(images)

    outcomes = run_function(Wrong(), frames(3))
    assert set(failures(outcomes)) == {0, 1, 2}
    assert all(error in failure.error for failure in failures(outcomes).values())


def test_generators_are_read_and_may_fail_while_they_are_read() -> None:
    class Lazy(OneByOne):
        def detect_batch(self, contexts: Any, images: Any) -> Any:
            return (self.one(image) for image in images)

        def one(self, image: PIL.Image.Image) -> Iterator[Any]:
            yield from box(image)
            if image.width == 11:
                raise KeyError("late")

    outcomes = run_function(Lazy(), frames(3))
    assert {n: f.error_type for n, f in failures(outcomes).items()} == {1: "KeyError"}
    assert [points(outcomes[n]) for n in (0, 2)] == [(0, 0, 10, 0), (0, 0, 12, 2)]


def test_a_function_may_reuse_its_result_objects() -> None:
    shape = cvataa.rectangle(0, [0, 0, 1, 1])
    found = [shape]

    class Reuses(OneByOne):
        def detect(self, context: Any, image: PIL.Image.Image) -> Any:
            shape.points = [0, 0, image.width, 1]
            return found

    outcomes = run_function(Reuses(), frames(3))
    assert [points(outcome)[2] for outcome in outcomes] == [10, 11, 12]


def test_objects_that_are_not_annotations_are_left_to_validation() -> None:
    class Odd(OneByOne):
        def detect(self, context: Any, image: PIL.Image.Image) -> Any:
            return ["car", *box(image)]

    (outcome,) = run_function(Odd(), frames(1))
    assert outcome.detections is not None
    assert [detection.type for detection in outcome.detections] == ["str", "rectangle"]
    assert isinstance(outcome.detections[0], Detection)


def test_a_function_that_never_stops_is_stopped() -> None:
    class Endless(OneByOne):
        def detect(self, context: Any, image: PIL.Image.Image) -> Any:
            while True:
                yield from box(image)

    outcomes = run_function(Endless(), frames(2), max_shapes_per_frame=50)
    assert {f.error_type for f in failures(outcomes).values()} == {"TooManyAnnotations"}
    assert "more than 50 annotations" in failures(outcomes)[0].error


# -- memory ---------------------------------------------------------------------------------


class Cramped(InBatches):
    """A function with memory for `room` images in a call."""

    def __init__(self, room: int, error: Callable[[], Exception]) -> None:
        super().__init__()
        self.room = room
        self.error = error

    def detect_batch(self, contexts: Any, images: Any) -> Any:
        results = super().detect_batch(contexts, images)
        if len(images) > self.room:
            raise self.error()
        return results


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's error."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError,
        lambda: OutOfMemoryError("tried to allocate 2 GiB"),
        lambda: RuntimeError("CUDA error: out of memory"),
        lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_calls_get_smaller_when_memory_runs_out(
    error: Callable[[], Exception], strict: bool
) -> None:
    function = Cramped(5, error)
    runner = FunctionRunner(function, strict=strict)
    outcomes = runner.run(frames(16))
    assert not failures(outcomes)
    assert [points(outcome)[2] for outcome in outcomes] == list(range(10, 26))
    assert runner.max_images == 4
    function.calls.clear()
    runner.run(frames(10))
    assert [len(call) for call in function.calls] == [4, 4, 2]


class Clock:
    """A clock that advances by a second for each image."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def on(self, number: int) -> None:
        self.now += 1.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("cvat_flows.tasks.detect.runner.time.perf_counter", made)
    return made


@pytest.mark.parametrize("kind", [OneByOne, InBatches])
def test_detections_of_a_slow_function_are_saved_during_the_batch(
    kind: type[OneByOne], clock: Clock
) -> None:
    kept: list[list[int]] = []
    function = kind(clock.on)
    runner = FunctionRunner(function)
    for first in (0, 4):
        some = [loaded(first + n) for n in range(4)]
        outcomes = runner.run(some, save=lambda part: kept.append([o.frame.number for o in part]))
        assert [points(outcome)[2] for outcome in outcomes] == [10 + first + n for n in range(4)]
    # The speed is unknown at the first call. Later calls take two seconds.
    first_kept = [[0, 1], [2, 3]] if kind is OneByOne else [[0, 1, 2, 3]]
    assert kept == [*first_kept, [4, 5], [6, 7]]
    if kind is InBatches:
        assert function.calls == kept


def test_detections_are_saved_when_a_call_raises() -> None:
    kept: list[Outcome] = []
    function = OneByOne(fail_on(2))
    with pytest.raises(ValueError, match="cannot read 2"):
        FunctionRunner(function, strict=True).run(frames(4), save=kept.extend)
    assert [outcome.frame.number for outcome in kept] == [0, 1]


def test_calls_grow_again_after_a_slow_one(clock: Clock) -> None:
    def slow_at_first(number: int) -> None:
        clock.now += 3.0 if number < 2 else 0.001

    function = InBatches(slow_at_first)
    runner = FunctionRunner(function)
    for _ in range(2):
        runner.run([loaded(0)])
    runner.run([loaded(n) for n in range(2, 12)])
    assert function.calls == [[0], [0], [2], list(range(3, 12))]


def test_frames_without_an_image_are_not_saved() -> None:
    kept: list[Outcome] = []
    some = frames(2)
    known = LoadedFrame(outcome=some[0].outcome)
    FunctionRunner(OneByOne()).run([known, some[1]], save=kept.extend)
    assert [outcome.frame.number for outcome in kept] == [1]


def test_an_image_too_large_for_memory_is_a_failed_frame() -> None:
    outcomes = run_function(Cramped(0, MemoryError), frames(2))
    assert {f.error_type for f in failures(outcomes).values()} == {"MemoryError"}


# -- errors ---------------------------------------------------------------------------------


class OwnExit(BaseException):
    pass


EXITS = [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, OwnExit]


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("kind", [OneByOne, InBatches])
@pytest.mark.parametrize("error", EXITS)
def test_what_ends_programs_costs_a_frame(
    kind: type[OneByOne], error: type[BaseException], timeout: float | None
) -> None:
    runner = FunctionRunner(kind(fail_on(1, error=error("enough"))), detect_timeout=timeout)
    outcomes = runner.run(frames(3))
    runner.close()
    (failure,) = failures(outcomes).values()
    assert failure.error_type == error.__name__
    assert failure.error == (
        f"the function failed on frame 1 · im1.png: {error.__name__} (enough) was raised, which "
        "ends a program: raise another exception instead"
    )
    assert [points(outcomes[n])[2] for n in (0, 2)] == [10, 12]


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("error", EXITS)
def test_results_that_end_programs_while_they_are_read(
    error: type[BaseException], timeout: float | None
) -> None:
    class Lazy(OneByOne):
        def detect_batch(self, contexts: Any, images: Any) -> Any:
            return [self.one(image) for image in images]

        def one(self, image: PIL.Image.Image) -> Iterator[Any]:
            yield from box(image)
            if image.width == 11:
                raise error

    class LazyInside(OneByOne):
        def detect(self, context: Any, image: PIL.Image.Image) -> Any:
            return Lazy().one(image)

    for function in (Lazy(), LazyInside()):
        runner = FunctionRunner(function, detect_timeout=timeout)
        outcomes = runner.run(frames(3))
        runner.close()
        assert {n: f.error_type for n, f in failures(outcomes).items()} == {1: error.__name__}


def test_strict_raises_no_exit() -> None:
    with pytest.raises(FunctionExit, match="SystemExit was raised"):
        run_function(OneByOne(fail_on(0, error=SystemExit())), frames(1), strict=True)


def test_ctrl_c_is_an_interrupt() -> None:
    """A signal arrives in the main thread, where this runner calls the function."""
    handler = signal.default_int_handler  # a shell's background jobs ignore the signal
    before = signal.signal(signal.SIGINT, handler)

    def on(number: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            run_function(OneByOne(on), frames(1))
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def hostile_errors() -> list[Exception]:
    class NoText(Exception):
        def __str__(self) -> str:
            raise KeyError("no text")

        __repr__ = __str__

    class Quits(RuntimeError):
        def __str__(self) -> str:
            sys.exit(3)

    class NotText(Exception):
        def __str__(self) -> Any:
            return 5

    return [NoText(), Quits(), NotText(), ValueError("\ud800 in \udfff"), ValueError("x" * 10**7)]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("kind", [OneByOne, InBatches])
def test_the_text_of_an_error_cannot_do_harm(kind: type[OneByOne], number: int) -> None:
    error = hostile_errors()[number]
    outcomes = run_function(kind(fail_on(1, error=error)), frames(3))
    (failure,) = failures(outcomes).values()
    assert failure.error_type == type(error).__name__ in failure.error
    assert len(failure.error) < 400
    json.dumps(attrs.asdict(failure), ensure_ascii=False).encode()


def test_a_name_that_no_file_accepts_does_no_harm() -> None:
    (outcome,) = run_function(OneByOne(fail_on(0)), [loaded(0, name="a\ud800.png")])
    assert outcome.failure is not None
    json.dumps(attrs.asdict(outcome.failure), ensure_ascii=False).encode()


def test_what_would_be_the_same_again_is_final() -> None:
    for found in (None, 5, [cvataa.rectangle(0, [0, 0, 1, 1])] * 3):

        class Wrong(OneByOne):
            returned = found

            def detect(self, context: Any, image: PIL.Image.Image) -> Any:
                return self.returned

        (outcome,) = run_function(Wrong(), frames(1), max_shapes_per_frame=2)
        assert outcome.failure is not None
        assert outcome.failure.final, found
    picture = OneByOne(fail_on(0, error=PictureError("it cannot be scaled")))
    (outcome,) = run_function(picture, frames(1))
    assert outcome.failure is not None
    assert outcome.failure.final
    (outcome,) = run_function(OneByOne(fail_on(0)), frames(1))
    assert outcome.failure is not None
    assert not outcome.failure.final


@pytest.mark.parametrize("kind", [OneByOne, InBatches])
def test_strict_raises_the_functions_own_exception(kind: type[OneByOne]) -> None:
    own = ValueError("mine")
    function = kind(fail_on(1, error=own))
    with pytest.raises(ValueError, match="mine") as caught:
        run_function(function, frames(4), strict=True)
    assert caught.value is own
    assert len(function.calls) == (2 if kind is OneByOne else 1)


# -- hanging ---------------------------------------------------------------------------------


class Hangs:
    """An `on` that blocks for some frames until the test ends."""

    def __init__(self, *bad: int) -> None:
        self.bad = bad
        self.calls: list[int] = []
        self.over = threading.Event()

    def __call__(self, number: int) -> None:
        self.calls.append(number)
        if number in self.bad:
            self.over.wait(60)


@pytest.fixture
def hangs() -> Iterator[Callable[..., Hangs]]:
    made: list[Hangs] = []

    def make(*bad: int) -> Hangs:
        made.append(Hangs(*bad))
        return made[-1]

    yield make
    for one in made:
        one.over.set()


@pytest.mark.parametrize("kind", [OneByOne, InBatches])
def test_a_frame_that_hangs_fails_alone(kind: type[OneByOne], hangs: Callable[..., Hangs]) -> None:
    function = kind(hangs(2))
    runner = FunctionRunner(function, detect_timeout=0.3)
    outcomes = runner.run(frames(5))
    runner.close()
    (failure,) = failures(outcomes).values()
    assert failure.final
    assert failure.error == (
        "the function failed on frame 2 · im2.png: CallTimedOut: no answer within 0.3 s "
        "(--detect-timeout)"
    )
    assert [points(outcomes[n]) for n in (0, 1, 3, 4)] == [(0, 0, 10 + n, n) for n in (0, 1, 3, 4)]
    # A batch that hangs is split into single frames: each half could cost the time limit again.
    alone = [[n] for n in range(5)]
    assert function.calls == (alone if kind is OneByOne else [[0, 1, 2, 3, 4], *alone])


def test_a_generator_that_hangs_fails_alone(hangs: Callable[..., Hangs]) -> None:
    on = hangs(1)

    class Lazy(OneByOne):
        def detect(self, context: Any, image: PIL.Image.Image) -> Any:
            on(image.width - 10)
            yield from box(image)

    outcomes = run_function(Lazy(), frames(3), detect_timeout=0.3)
    assert {n: f.error_type for n, f in failures(outcomes).items()} == {1: "CallTimedOut"}
    on.bad = tuple(range(9))
    with pytest.raises(FunctionHangs):
        run_function(Lazy(), frames(9), detect_timeout=0.1)


@pytest.mark.parametrize("kind", [OneByOne, InBatches])
def test_a_function_that_keeps_hanging_is_not_called_any_more(
    kind: type[OneByOne], hangs: Callable[..., Hangs]
) -> None:
    on = hangs(*range(9))
    runner = FunctionRunner(kind(on), detect_timeout=0.1)
    with pytest.raises(
        FunctionHangs, match=r"5 calls .* in a row .* 0\.1 s, the last on frame . · im.\.png"
    ):
        runner.run(frames(9))
    assert len(on.calls) == MAX_CONSECUTIVE_TIMEOUTS
    with pytest.raises(FunctionHangs):
        runner.run(frames(9))
    assert len(on.calls) == MAX_CONSECUTIVE_TIMEOUTS


def test_scattered_timeouts_do_not_stop_the_run(hangs: Callable[..., Hangs]) -> None:
    bad = {0, 1, 2, 4, 5, 6, 8}
    outcomes = run_function(OneByOne(hangs(*bad)), frames(9), detect_timeout=0.1)
    assert set(failures(outcomes)) == bad


def test_calls_share_a_thread_and_the_context_of_the_caller() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    seen: list[tuple[str, bool, str]] = []

    def on(number: int) -> None:
        thread = threading.current_thread()
        seen.append((thread.name, thread.daemon, variable.get()))

    runner = FunctionRunner(OneByOne(on), detect_timeout=60)
    token = variable.set("set")
    runner.run(frames(4))
    variable.reset(token)
    assert seen == [("aa-function", True, "set")] * 4
    runner.close()


def test_an_image_is_released_after_the_call() -> None:
    kept: list[weakref.ref[Any]] = []

    class Remembers(OneByOne):
        def detect(self, context: Any, image: PIL.Image.Image) -> Any:
            kept.append(weakref.ref(image))
            return box(image)

    runner = FunctionRunner(Remembers(), detect_timeout=60)
    assert not failures(runner.run(frames(2)))
    wait_until(lambda: all(one() is None for one in kept), what="the images are released")
    runner.close()


@pytest.mark.parametrize("timeout", [None, 60])
def test_images_are_released_during_the_batch(timeout: float | None) -> None:
    seen: list[weakref.ref[Any]] = []

    class Remembers(OneByOne):
        def detect(self, context: Any, image: PIL.Image.Image) -> Any:
            # The calling thread releases an image a moment after its answer.
            wait_until(lambda: all(one() is None for one in seen[:-1]), what="images are released")
            seen.append(weakref.ref(image))
            return box(image)

    runner = FunctionRunner(Remembers(), detect_timeout=timeout)
    assert not failures(runner.run(frames(4)))
    runner.close()


def test_a_timeout_error_of_the_function_is_an_ordinary_error() -> None:
    outcomes = run_function(
        OneByOne(fail_on(0, error=TimeoutError("the model's server"))),
        frames(1),
        detect_timeout=60,
    )
    failure = failures(outcomes)[0]
    assert (failure.error_type, failure.final) == ("TimeoutError", False)
    assert "the model's server" in failure.error
