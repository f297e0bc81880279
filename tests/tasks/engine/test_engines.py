"""The same steps as Prefect task runs and in threads: what a caller sees is the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from prefect import flow

from cvat_flows.tasks.engine.current import current_engine, use_engine
from cvat_flows.tasks.engine.plain import PlainEngine
from cvat_flows.tasks.engine.recorded import RecordedEngine
from cvat_flows.tasks.engine.step import step
from cvat_flows.tasks.model.errors import FrameFailed, StepCancelled
from cvat_flows.tasks.model.frames import Failure, Frame

Run = Callable[[Callable[[], Any]], Any]


@pytest.fixture(params=["Prefect", "threads"])
def in_engine(request: pytest.FixtureRequest) -> Run:
    """`in_engine(call)` calls in a run of one of the engines, and returns what it returns."""
    if request.param == "threads":

        def in_threads(call: Callable[[], Any]) -> Any:
            with use_engine(PlainEngine()):
                return call()

        return in_threads

    request.getfixturevalue("prefect_server")

    def in_prefect(call: Callable[[], Any]) -> Any:
        results: list[Any] = []

        @flow(persist_result=False)
        def run() -> None:
            with use_engine(RecordedEngine()):
                results.append(call())

        run()
        return results[0]

    return in_prefect


class Flaky:
    """Fails a number of times with an error, and counts its calls."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.calls = failures, error, 0
        self.last: list[bool] = []

    def __call__(self) -> str:
        self.calls += 1
        self.last.append(current_engine().is_last_attempt())
        if self.calls <= self.failures:
            raise self.error
        return "done"


@step(
    name="flaky",
    run_name="flaky {flaky.calls}",
    retry_delays=[0.01, 0.01],
    should_retry=lambda error: isinstance(error, OSError),
)
def call_flaky(flaky: Flaky) -> str:
    return flaky()


@step(name="wait", run_name="wait")
def wait_for(event: threading.Event, seen: list[str]) -> None:
    assert event.wait(30)
    seen.append("waited")


@step(name="note", run_name="note {text}")
def note(seen: list[str], text: str) -> None:
    seen.append(text)


def test_a_step_is_tried_again_as_often_as_its_policy_says(in_engine: Run) -> None:
    flaky = Flaky(2, OSError("away"))
    assert in_engine(lambda: call_flaky(flaky)) == "done"
    assert flaky.calls == 3
    assert flaky.last == [False, False, True]


def test_the_last_error_reaches_the_caller(in_engine: Run) -> None:
    flaky = Flaky(9, OSError("away"))

    def call() -> None:
        with pytest.raises(OSError, match="away"):
            call_flaky(flaky)

    in_engine(call)
    assert flaky.calls == 3


def test_an_error_that_a_retry_cannot_help_is_final(in_engine: Run) -> None:
    flaky = Flaky(1, ValueError("wrong"))

    def call() -> bool:
        run = call_flaky.submit(flaky)
        run.wait()
        with pytest.raises(ValueError, match="wrong"):
            run.result()
        return run.completed()

    assert in_engine(call) is False
    assert flaky.calls == 1


def test_a_step_starts_after_the_steps_before_it(in_engine: Run) -> None:
    seen: list[str] = []

    def call() -> None:
        event = threading.Event()
        first = wait_for.submit(event, seen)
        second = note.submit_after([first], seen, "after")
        third = note.submit(seen, "meanwhile")
        third.wait()
        event.set()
        second.wait()
        assert second.completed()

    in_engine(call)
    assert seen == ["meanwhile", "waited", "after"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        StepCancelled("the run ended"),
        FrameFailed(
            Frame(number=1, name="a", width=1, height=1, chunk=0, job_ids=(1,)),
            Failure(step="detect", error="no", error_type="E"),
        ),
    ],
)
def test_a_step_does_not_start_after_one_that_failed(in_engine: Run, error: Exception) -> None:
    seen: list[str] = []

    def call() -> None:
        first = call_flaky.submit(Flaky(1, error))
        second = note.submit_after([first], seen, "after")
        second.wait()
        assert not first.completed()
        assert not second.completed()

    in_engine(call)
    assert seen == []


def test_a_step_sees_the_engine_of_its_run(in_engine: Run) -> None:
    engines: list[Any] = []

    @step(name="look", run_name="look")
    def look() -> None:
        engines.append(current_engine())

    def call() -> None:
        look.submit().wait()
        engines.append(current_engine())

    in_engine(call)
    assert engines[0] is engines[1]


def test_a_run_in_threads_keeps_no_process_alive() -> None:
    with use_engine(PlainEngine()):
        event = threading.Event()
        wait_for.submit(event, [])
        (thread,) = [one for one in threading.enumerate() if one.name == "step-wait"]
        assert thread.daemon
        event.set()
        thread.join(30)
