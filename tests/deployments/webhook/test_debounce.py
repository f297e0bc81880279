from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from cvat_flows.deployments.webhook.asked_tasks import AskedTasks
from cvat_flows.deployments.webhook.debounce import SweepStarter, TooBusy
from cvat_flows.flows.prefect_server import PrefectUnavailable
from tests.deployments.webhook.recorded_runs import (
    AWAY,
    RecordedRuns,
    changed,
    imported,
    saved,
)
from tests.support.waiting import HANG_TIMEOUT

ACCEPTED, KNOWN = "a sweep will look at the task", "known, nothing to do"


class Running:
    """A starter that runs in the test's loop."""

    def __init__(self, **options: Any) -> None:
        self.runs = RecordedRuns()
        self.starter = SweepStarter(self.runs, **{"wait": 0.0, "max_pause": 0.02, **options})

    async def __aenter__(self) -> Running:
        self._task = asyncio.create_task(self.starter.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + HANG_TIMEOUT
        while not condition():
            assert not self._task.done()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)

    async def quiet(self) -> None:
        await self.until(lambda: not self.starter.waiting)


def test_deliveries_of_a_short_while_become_one_sweep() -> None:
    async def story() -> None:
        async with Running(wait=0.05, max_wait=HANG_TIMEOUT) as running:
            for task_id in (3, 1, 2, 1):
                assert running.starter.ask(imported(task_id)) == ACCEPTED
                await asyncio.sleep(0.01)
            await running.quiet()
            assert running.runs.asked == [[3, 1, 2]]

    asyncio.run(story())


def test_deliveries_without_end_do_not_put_the_sweep_off() -> None:
    async def story() -> None:
        async with Running(wait=HANG_TIMEOUT, max_wait=0.1) as running:
            task_id = 0
            while not running.runs.asked:
                running.starter.ask(imported(task_id := task_id + 1))
                await asyncio.sleep(0.01)
            assert running.runs.asked[0][0] == 1

    asyncio.run(story())


def test_saved_annotations_ask_once_for_each_task() -> None:
    async def story() -> None:
        async with Running() as running:
            assert running.starter.ask(saved(5)) == ACCEPTED
            await running.quiet()
            for _ in range(1000):
                assert running.starter.ask(saved(5)) == KNOWN
            assert running.starter.ask(saved(6)) == ACCEPTED
            await running.quiet()
            assert running.runs.asked == [[5], [6]]

    asyncio.run(story())


def test_saved_annotations_do_not_put_a_sweep_off() -> None:
    async def story() -> None:
        async with Running(wait=0.1, max_wait=HANG_TIMEOUT) as running:
            running.starter.ask(saved(5))
            until = time.monotonic() + 0.5
            while not running.runs.asked and time.monotonic() < until:
                running.starter.ask(saved(5))
                await asyncio.sleep(0.01)
            assert running.runs.asked == [[5]]

    asyncio.run(story())


@pytest.mark.parametrize("again", [changed(5, "name"), saved(5, size=6), imported(5)])
def test_news_of_a_known_task_ask_again(again: Any) -> None:
    async def story() -> None:
        async with Running() as running:
            for delivery in (saved(5), again):
                assert running.starter.ask(delivery) == ACCEPTED
                await running.quiet()
            assert running.runs.asked == [[5], [5]]

    asyncio.run(story())


def test_saves_after_an_import_are_known() -> None:
    asked = AskedTasks()
    asked.add(imported(5))
    assert not asked.is_new(saved(5))
    assert asked.is_new(imported(5))


def test_the_memory_of_asked_tasks_is_bounded() -> None:
    asked = AskedTasks(max_remembered=3)
    for task_id in (1, 2, 3, 1, 4):
        asked.add(saved(task_id))
    assert [asked.is_new(saved(task_id)) for task_id in (1, 2, 3, 4)] == [False, True, False, False]


def test_news_while_the_sweep_is_started_ask_again() -> None:
    async def story() -> None:
        async with Running() as running:
            gate = asyncio.Event()
            start = running.runs.start

            async def slowly(task_ids: Any, key: str) -> str:
                await gate.wait()
                return await start(task_ids, key)

            running.runs.start = slowly  # type: ignore[method-assign]
            running.starter.ask(imported(5))
            await running.until(lambda: not running.starter._waiting)
            running.starter.ask(imported(5))
            gate.set()
            await running.quiet()
            assert running.runs.asked == [[5], [5]]

    asyncio.run(story())


def test_nothing_is_lost_while_prefect_is_away() -> None:
    async def story() -> None:
        async with Running() as running:
            running.runs.down = True
            assert running.starter.ask(imported(5)) == ACCEPTED  # nobody knows it yet
            await running.until(lambda: running.starter.problem)
            with pytest.raises(PrefectUnavailable, match=r"does not answer .* task 6 is kept"):
                running.starter.ask(imported(6))
            with pytest.raises(PrefectUnavailable):
                running.starter.ask(saved(6))  # CVAT delivers again
            running.runs.down = False
            await running.quiet()
            assert running.runs.asked == [[5], [6]]
            assert running.starter.ask(saved(6)) == KNOWN
            assert running.starter.problem is None

    asyncio.run(story())


def test_prefect_is_checked_at_the_start_and_until_it_is_back() -> None:
    async def story() -> None:
        running = Running()
        running.runs.down = True
        async with running:
            await running.until(lambda: running.starter.problem == AWAY)
            running.runs.down = False
            await running.until(lambda: running.starter.problem is None)
        assert running.runs.asked == []

    asyncio.run(story())


def test_a_lost_answer_starts_no_second_sweep() -> None:
    async def story() -> None:
        async with Running() as running:
            running.runs.lost_answers = 2
            running.starter.ask(imported(5))
            await running.quiet()
            assert running.runs.asked == [[5]]

    asyncio.run(story())


def test_a_burst_loses_nothing_and_its_sweeps_are_bounded() -> None:
    async def story() -> None:
        async with Running(wait=0.2, max_wait=0.2) as running:
            tracemalloc.start()
            for task_id in range(1, 20_001):
                running.starter.ask(imported(task_id))
                if task_id % 500 == 0:
                    await asyncio.sleep(0)
            used, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            await running.quiet()
            sweeps = running.runs.asked
            assert sorted(one for sweep in sweeps for one in sweep) == list(range(1, 20_001))
            assert max(map(len, sweeps)) == 2000
            assert used < 10e6

    asyncio.run(story())


def test_too_many_waiting_tasks_are_refused_and_not_remembered() -> None:
    async def story() -> None:
        async with Running(max_waiting=2, max_tasks=1) as running:
            running.runs.down = True
            running.starter.ask(imported(1))
            await running.until(lambda: running.starter.problem)
            for task_id in (2, 3):
                with pytest.raises(PrefectUnavailable):
                    running.starter.ask(saved(task_id))
            with pytest.raises(TooBusy, match="2 tasks are waiting already"):
                running.starter.ask(saved(4))
            running.runs.down = False
            await running.quiet()
            assert running.starter.ask(saved(4)) == ACCEPTED
            await running.quiet()
            assert running.runs.asked == [[1], [2], [3], [4]]

    asyncio.run(story())


def test_a_receiver_that_stops_starts_what_is_waiting() -> None:
    async def story() -> None:
        async with Running(wait=HANG_TIMEOUT, max_wait=HANG_TIMEOUT, max_tasks=2) as running:
            for task_id in (1, 2, 3):
                running.starter.ask(imported(task_id))
        await running.starter.close()
        assert running.runs.asked == [[1, 2], [3]]

    asyncio.run(story())


def test_a_receiver_that_stops_says_what_was_not_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        async with Running(wait=HANG_TIMEOUT, max_wait=HANG_TIMEOUT) as running:
            running.starter.ask(imported(1))
            running.runs.down = True
        await running.starter.close()

    asyncio.run(story())
    assert f"no sweep was started for 1 CVAT task ({AWAY})" in caplog.text
