"""Remember which CVAT tasks a sweep was asked for, so that saved annotations start no sweep."""

from __future__ import annotations

from collections import OrderedDict

from cvat_flows.deployments.webhook.delivery import Delivery

MAX_REMEMBERED = 200_000
"""Number of CVAT tasks kept in memory: some 25 MB."""


class AskedTasks:
    """The CVAT tasks that were asked for since the receiver's start, each with its size.

    Each stored change of annotations makes CVAT deliver `update:task` with nothing changed but
    `updated_date`. People and our own uploads do that all day.
    """

    def __init__(self, max_remembered: int = MAX_REMEMBERED) -> None:
        self._sizes: OrderedDict[int, int | None] = OrderedDict()
        self._max = max_remembered

    def is_new(self, delivery: Delivery) -> bool:
        """Whether the delivery tells something about its task that was not asked for yet."""
        task_id = delivery.task_id
        if task_id is None or delivery.changed or delivery.is_import:
            return task_id is not None
        return task_id not in self._sizes or self._sizes[task_id] not in (delivery.size, None)

    def add(self, delivery: Delivery) -> None:
        """Remember that a sweep will look at the delivery's task. The oldest task is forgotten."""
        assert delivery.task_id is not None
        self._sizes[delivery.task_id] = delivery.size
        self._sizes.move_to_end(delivery.task_id)
        while len(self._sizes) > self._max:
            self._sizes.popitem(last=False)
