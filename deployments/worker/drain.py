"""Let a Prefect worker finish its runs before it stops.

Prefect's worker kills its runs when it is stopped (PrefectHQ/prefect issue 22528).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import anyio

_PAUSE = 0.1
"""Seconds between two looks at what a stopping worker still does."""


class Drain:
    """A worker that can be asked to start no new runs, and to end after the running ones.

    Args:
        worker: A `prefect.workers.base.BaseWorker` that is not started.
        say: Receives a line when something happens.
    """

    def __init__(self, worker: Any, say: Callable[[str], None] = print) -> None:
        self._worker = worker
        self._say = say
        self._requests = 0
        self._busy = 0
        """Polls and runs under way."""
        self._poll: Callable[[], Awaitable[list[Any]]] = worker.get_and_submit_flow_runs
        worker.get_and_submit_flow_runs = self._poll_unless_stopping
        run = worker._submit_run_and_capture_errors
        worker._submit_run_and_capture_errors = lambda *args, **named: self._count(
            run(*args, **named)
        )

    def request(self) -> None:
        """Ask the worker to stop. A second request ends its runs, too."""
        self._requests += 1
        if self._requests == 1:
            self._say("stopping: no new runs; waiting for the running ones")

    async def run(self, *, with_healthcheck: bool = False) -> bool:
        """Run the worker until it has stopped. Return whether it could finish its runs.

        With `with_healthcheck`, the worker answers at the port of its settings.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_when_asked, group.cancel_scope)
            await self._worker.start(with_healthcheck=with_healthcheck, printer=self._say)
            group.cancel_scope.cancel()
        return not self._is_busy()

    async def _stop_when_asked(self, scope: anyio.CancelScope) -> None:
        while self._requests == 0 or (self._requests == 1 and self._is_busy()):
            await anyio.sleep(_PAUSE)
        scope.cancel()

    def _is_busy(self) -> bool:
        # A run is being submitted between the poll that found it and its start.
        return self._busy > 0 or bool(self._worker._submitting_flow_run_ids)

    async def _poll_unless_stopping(self) -> list[Any]:
        if self._requests:
            self._worker._last_polled_time = datetime.now(UTC)  # it is healthy
            return []
        runs: list[Any] = await self._count(self._poll())
        return runs

    async def _count(self, work: Awaitable[Any]) -> Any:
        self._busy += 1
        try:
            return await work
        except anyio.get_cancelled_exc_class():
            self._busy += 1  # it was not finished
            raise
        finally:
            self._busy -= 1
