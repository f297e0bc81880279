"""A Prefect that only records the sweeps that are started."""

from __future__ import annotations

from collections.abc import Sequence

from cvat_flows.deployments.webhook.delivery import Delivery
from cvat_flows.deployments.webhook.events import IMPORT_COMPLETED, TASK_UPDATED
from cvat_flows.flows.prefect_server import PrefectUnavailable

AWAY = "the Prefect server does not answer (ConnectError)"


class RecordedRuns:
    """Starts no sweep while it is `down`. `lost_answers` sweeps are started without an answer."""

    def __init__(self) -> None:
        self.sweeps: dict[str, list[int]] = {}
        self.down = False
        self.lost_answers = 0

    @property
    def asked(self) -> list[list[int]]:
        return list(self.sweeps.values())

    async def check(self) -> None:
        if self.down:
            raise PrefectUnavailable(AWAY)

    async def start(self, task_ids: Sequence[int], key: str) -> str:
        await self.check()
        self.sweeps[key] = list(task_ids)
        if self.lost_answers:
            self.lost_answers -= 1
            raise PrefectUnavailable("the Prefect server does not answer (ReadTimeout)")
        return f"sweep {len(self.sweeps)}"


def saved(task_id: int, size: int = 4) -> Delivery:
    """What CVAT delivers after each stored change of annotations."""
    return Delivery(event=TASK_UPDATED, task_id=task_id, size=size)


def changed(task_id: int, *fields: str, size: int = 4) -> Delivery:
    return Delivery(event=TASK_UPDATED, task_id=task_id, size=size, changed=fields)


def imported(task_id: int) -> Delivery:
    return Delivery(event=IMPORT_COMPLETED, task_id=task_id, is_import=True)
