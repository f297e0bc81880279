"""Scan the delivered tasks together, announce the ready ones and answer each delivery."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import Literal

from cvat_flows.deployments.webhook.announcement import Announcement
from cvat_flows.deployments.webhook.prefect_calls import send_events
from cvat_flows.deployments.webhook.ready_tasks import ScanResult
from cvat_flows.tasks.model.errors import CvatFlowsError

log = logging.getLogger("cvat_flows.webhook")

MAX_TASKS_PER_SCAN = 250
"""The task IDs are part of one request's address, whose length is limited."""
MAX_WAITING = 20_000
MAX_REMEMBERED = 200_000
"""Number of settled tasks kept in memory: 16 MB at most."""

Answer = Literal["announced", "nothing to do", "not ready yet", "known"]
Scan = Callable[[Collection[int]], ScanResult]
Send = Callable[[list[Announcement]], Awaitable[None]]


class TooBusy(CvatFlowsError):
    """Too many tasks are waiting for a scan."""


class Announcer:
    """Collects task IDs during a scan and scans all of them in the next one."""

    def __init__(self, scan: Scan, send: Send = send_events):
        self._scan = scan
        self._send = send
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._settled: OrderedDict[int, None] = OrderedDict()
        self._wake = asyncio.Event()
        self.announced = 0

    async def ask(self, task_id: int) -> Answer:
        """Scan a task, and announce it if it is ready and new.

        Repeated calls for a task announce it once. Raises the error that stopped the scan or the
        announcement.
        """
        if task_id in self._settled:
            return "known"
        # A scan that is already running may have read the task before this delivery.
        future = self._waiting.get(task_id)
        if future is None:
            if len(self._waiting) >= MAX_WAITING:
                raise TooBusy(f"{MAX_WAITING:,} tasks are waiting already")
            future = self._waiting[task_id] = asyncio.get_running_loop().create_future()
            self._wake.set()
        return await asyncio.shield(future)

    async def run(self) -> None:
        """Scan and announce until cancelled."""
        while True:
            await self._wake.wait()
            batch = {
                task_id: self._waiting.pop(task_id)
                for task_id in list(self._waiting)[:MAX_TASKS_PER_SCAN]
            }
            if not self._waiting:
                self._wake.clear()
            try:
                await self._handle(batch)
            except Exception as error:
                if not isinstance(error, CvatFlowsError):
                    log.exception("scanning tasks failed")
                for future in batch.values():
                    future.set_exception(error)
                    future.exception()  # nobody may be waiting for it any more

    async def _handle(self, batch: dict[int, asyncio.Future[Answer]]) -> None:
        for task_id in self._settled.keys() & batch.keys():
            batch[task_id].set_result("known")
            del batch[task_id]
        if not batch:
            return
        result = await asyncio.to_thread(self._scan, list(batch))
        if result.ready:
            await self._send(result.ready)
        ready = {announcement.task_id for announcement in result.ready}
        for one in result.ready:
            log.info("task %s %r is ready, announced (%s)", one.task_id, one.name, one.rule)
        self.announced += len(ready)
        for task_id in result.settled:
            self._settled[task_id] = None
        while len(self._settled) > MAX_REMEMBERED:
            self._settled.popitem(last=False)
        for task_id, future in batch.items():
            if task_id in ready:
                future.set_result("announced")
            else:
                settled = task_id in result.settled
                future.set_result("nothing to do" if settled else "not ready yet")
