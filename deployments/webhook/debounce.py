"""Collect the CVAT tasks of deliveries for a short while, and start one sweep for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice
from uuid import uuid4

from cvat_flows.deployments.webhook.asked_tasks import AskedTasks
from cvat_flows.deployments.webhook.delivery import Delivery
from cvat_flows.deployments.webhook.sweep_runs import SweepRuns
from cvat_flows.flows.prefect_server import PrefectUnavailable
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import counted

log = logging.getLogger("cvat_flows.webhook")

DEFAULT_WAIT = 2.0
DEFAULT_MAX_WAIT = 10.0
MAX_TASKS_PER_SWEEP = 2_000
"""Prefect accepts 512 KiB of parameters."""
MAX_WAITING = 100_000
"""Number of CVAT tasks that may wait for their sweep: some 10 MB."""
MAX_PAUSE = 30.0
"""Maximum pause between two attempts while Prefect does not answer, in seconds."""
CLOSING_TIMEOUT = 5.0
SHOWN_TASKS = 10


class TooBusy(CvatFlowsError):
    """Too many CVAT tasks are waiting for their sweep."""


class SweepStarter:
    """Starts one sweep for the deliveries of a short while.

    Deliveries are answered before the sweep is started. CVAT delivers one after the other, so an
    answer that waits for further deliveries would keep CVAT from sending them.
    """

    def __init__(
        self,
        runs: SweepRuns,
        *,
        wait: float = DEFAULT_WAIT,
        max_wait: float = DEFAULT_MAX_WAIT,
        max_tasks: int = MAX_TASKS_PER_SWEEP,
        max_waiting: int = MAX_WAITING,
        max_pause: float = MAX_PAUSE,
    ) -> None:
        """Describe the waiting. `run` does the work.

        Args:
            runs: Starts the sweeps.
            wait: Start a sweep if no delivery has come for this long, in seconds.
            max_wait: Start it this long after its first delivery at the latest.
            max_tasks: Maximum number of CVAT tasks of a sweep.
            max_waiting: Maximum number of CVAT tasks that wait for their sweep.
            max_pause: Maximum pause between two attempts while Prefect does not answer.
        """
        self._runs = runs
        self._wait, self._max_wait, self._max_pause = wait, max_wait, max_pause
        self._max_tasks, self._max_waiting = max_tasks, max_waiting
        self._asked = AskedTasks()
        self._waiting: dict[int, None] = {}
        self._starting: tuple[str, Sequence[int]] | None = None
        """Key and tasks of the sweep that is being started."""
        self._first = self._last = 0.0
        """When the first and the last of the waiting tasks were asked for."""
        self._has_waiting = asyncio.Event()
        self.problem: str | None = None
        """Why Prefect starts no sweep, if it does not."""
        self.started = 0
        """Number of sweeps started."""

    @property
    def waiting(self) -> int:
        """Number of CVAT tasks whose sweep is not started yet."""
        return len(self._waiting.keys() | set(self._starting[1] if self._starting else ()))

    def ask(self, delivery: Delivery) -> str:
        """Put the delivery's task into the next sweep if the delivery is news. Return the answer.

        Raises:
            PrefectUnavailable: The sweep cannot be started now. It is started later.
            TooBusy: Too many tasks are waiting. This task is left out.
        """
        task_id = delivery.task_id
        if task_id is None:
            return "nothing to do"
        if self._asked.is_new(delivery):
            self._put(task_id)
            self._asked.add(delivery)
        elif task_id not in self._waiting:
            return "known, nothing to do"
        if self.problem:
            raise PrefectUnavailable(f"{self.problem}. The sweep of task {task_id} is kept")
        return "a sweep will look at the task"

    def _put(self, task_id: int) -> None:
        now = asyncio.get_running_loop().time()
        if not self._waiting:
            self._first = now
        elif task_id not in self._waiting and len(self._waiting) >= self._max_waiting:
            raise TooBusy(f"{self._max_waiting:,} tasks are waiting already")
        self._last = now
        self._waiting[task_id] = None
        self._has_waiting.set()

    async def run(self) -> None:
        """Start sweeps until cancelled."""
        await self._check()
        while True:
            while self.problem and not self._waiting:
                await asyncio.sleep(self._max_pause)
                await self._check()
            await self._has_waiting.wait()
            await self._wait_for_more()
            self._take_batch()
            await self._start_until_done()

    async def close(self) -> None:
        """Start what is waiting, if Prefect answers at once."""
        try:
            async with asyncio.timeout(CLOSING_TIMEOUT):
                while self._starting or self._waiting:
                    if not self._starting:
                        self._take_batch()
                    await self._start()
        except (TimeoutError, PrefectUnavailable) as error:
            tasks = counted(self.waiting, "CVAT task")
            log.error("stopped: no sweep was started for %s (%s)", tasks, error or "no answer")

    async def _wait_for_more(self) -> None:
        loop = asyncio.get_running_loop()
        while len(self._waiting) < self._max_tasks:
            until = min(self._last + self._wait, self._first + self._max_wait)
            if (left := until - loop.time()) <= 0:
                return
            await asyncio.sleep(left)

    def _take_batch(self) -> None:
        tasks = list(islice(self._waiting, self._max_tasks))
        for task_id in tasks:
            del self._waiting[task_id]
        if not self._waiting:
            self._has_waiting.clear()
        self._starting = f"cvat-flows:webhook:{uuid4()}", tasks

    async def _start_until_done(self) -> None:
        pause = min(1.0, self._max_pause)
        while self._starting:
            try:
                await self._start()
            except PrefectUnavailable as error:
                self._report(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._max_pause)

    async def _start(self) -> None:
        assert self._starting
        key, tasks = self._starting
        name = await self._runs.start(tasks, key)
        self._starting, self.problem = None, None
        self.started += 1
        shown = ", ".join(map(str, tasks[:SHOWN_TASKS]))
        shown += ", ..." if len(tasks) > SHOWN_TASKS else ""
        log.info("started the sweep %r of %s: %s", name, counted(len(tasks), "CVAT task"), shown)

    async def _check(self) -> None:
        try:
            await self._runs.check()
            self.problem = None
        except PrefectUnavailable as error:
            self._report(error)

    def _report(self, error: PrefectUnavailable) -> None:
        if self.problem != str(error):
            log.error("%s", error)
        self.problem = str(error)
