"""A worker that stops polling, and ends when its runs have."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from cvat_flows.deployments.worker.drain import Drain


class FakeWorker:
    """Has those parts of Prefect's worker that `Drain` uses. A run lasts until `finish` is set."""

    def __init__(self) -> None:
        self._submitting_flow_run_ids: set[int] = set()
        self.polls = 0
        self.started, self.finished, self.ended = 0, 0, 0
        self.finish = anyio.Event()

    async def get_and_submit_flow_runs(self) -> list[Any]:
        self.polls += 1
        if self.polls == 1:
            self._submitting_flow_run_ids.add(1)
            self.group.start_soon(self._submit)
        return []

    async def _submit(self) -> None:
        self.group.start_soon(lambda: self._submit_run_and_capture_errors(1))
        await anyio.sleep(0.01)
        self._submitting_flow_run_ids.remove(1)

    async def _submit_run_and_capture_errors(self, number: int) -> None:
        self.started += 1
        try:
            await self.finish.wait()
            self.finished += 1
        finally:
            self.ended += 1

    async def start(self, with_healthcheck: bool, printer: Any) -> None:
        async with anyio.create_task_group() as self.group:
            while True:
                await self.get_and_submit_flow_runs()
                await anyio.sleep(0.005)


async def until(condition: Any) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.005)


@pytest.mark.parametrize("is_patient", [True, False])
def test_runs_finish_unless_the_request_is_repeated(is_patient):
    said: list[str] = []

    async def scenario() -> tuple[FakeWorker, bool]:
        worker = FakeWorker()
        drain = Drain(worker, said.append)
        results: list[bool] = []

        async def run() -> None:
            results.append(await drain.run())

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await until(lambda: worker.started)
            await until(lambda: worker.polls > 3)
            drain.request()
            polls = worker.polls
            await anyio.sleep(0.3)
            assert worker.polls == polls
            assert (worker.started, worker.ended, results) == (1, 0, [])
            if is_patient:
                worker.finish.set()
            else:
                drain.request()
        return worker, results[0]

    worker, could_finish = anyio.run(scenario)
    assert (worker.finished, worker.ended) == (int(is_patient), 1)
    assert could_finish is is_patient
    assert said == ["stopping: no new runs; waiting for the running ones"]


def test_a_worker_without_runs_stops_at_once():
    async def scenario() -> bool:
        worker = FakeWorker()
        worker.polls = 1  # no run comes
        drain = Drain(worker, lambda text: None)
        drain.request()
        with anyio.fail_after(60):
            return await drain.run()

    assert anyio.run(scenario) is True
