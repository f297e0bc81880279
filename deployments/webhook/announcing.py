"""Look at tasks and announce them, many at a time, and tell each delivery how that went."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import Literal

from prefect.client.orchestration import get_client

from cvat_flows.deployments.webhook.ready_tasks import SHORT_WAIT, Announcement, Look, one_try
from cvat_flows.tasks.model.errors import CvatFlowsError

log = logging.getLogger("cvat_flows.webhook")

AT_ONCE = 250
"""Tasks in one look: their ids travel in the address of a request."""
MOST_WAITING = 20_000
REMEMBERED = 200_000
"""Tasks that need no second look; 16 MB at most."""

Answer = Literal["announced", "nothing to do", "not ready yet", "known"]
Send = Callable[[list[Announcement]], Awaitable[None]]


class TooBusy(CvatFlowsError):
    """More tasks wait to be looked at than make sense."""


async def send_to_prefect(announcements: list[Announcement]) -> None:
    """Post the events and wait until the server has them. Raises PrefectDown."""
    with one_try():
        async with get_client(httpx_settings=SHORT_WAIT) as client:
            answer = await client.request(
                "POST", "/events", json=[one.to_event() for one in announcements]
            )
            answer.raise_for_status()


class Announcer:
    """Collects task ids while a look is under way, and looks at all of them in the next."""

    def __init__(self, look: Callable[[Collection[int]], Look], send: Send = send_to_prefect):
        self._look = look
        self._send = send
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._known: OrderedDict[int, None] = OrderedDict()
        self._wake = asyncio.Event()
        self.announced = 0

    async def ask(self, task_id: int) -> Answer:
        """Look at a task and announce it if it is ready and new.

        Any number of calls for a task lead to one announcement. Raises what kept it from being
        looked at or announced.
        """
        if task_id in self._known:
            return "known"
        # A look that began before this delivery may have been too early for it.
        future = self._waiting.get(task_id)
        if future is None:
            if len(self._waiting) >= MOST_WAITING:
                raise TooBusy(f"{MOST_WAITING:,} tasks wait to be looked at")
            future = self._waiting[task_id] = asyncio.get_running_loop().create_future()
            self._wake.set()
        return await asyncio.shield(future)

    async def run(self) -> None:
        """Look and announce until cancelled."""
        while True:
            await self._wake.wait()
            batch = {
                task_id: self._waiting.pop(task_id) for task_id in list(self._waiting)[:AT_ONCE]
            }
            if not self._waiting:
                self._wake.clear()
            try:
                await self._handle(batch)
            except Exception as error:
                if not isinstance(error, CvatFlowsError):
                    log.exception("looking at tasks failed")
                for future in batch.values():
                    future.set_exception(error)
                    future.exception()  # seen: the delivery may have gone

    async def _handle(self, batch: dict[int, asyncio.Future[Answer]]) -> None:
        for task_id in self._known.keys() & batch.keys():
            batch[task_id].set_result("known")
            del batch[task_id]
        if not batch:
            return
        look = await asyncio.to_thread(self._look, list(batch))
        if look.ready:
            await self._send(look.ready)
        ready = {one.task_id for one in look.ready}
        for one in look.ready:
            log.info("task %s %r is ready: announced (%s)", one.task_id, one.name, one.rule)
        self.announced += len(ready)
        for task_id in look.settled:
            self._known[task_id] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        for task_id, future in batch.items():
            if task_id in ready:
                future.set_result("announced")
            else:
                future.set_result("nothing to do" if task_id in look.settled else "not ready yet")
