"""What Prefect knows of the runs that annotate CVAT tasks: those under way, those gone wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from attrs import frozen
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from cvat_flows.tasks.cvat.connection import ServerSettingsError
from cvat_flows.tasks.cvat.server_block import find_settings

UNDER_WAY = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]
ENDED_BADLY = [StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
_PAGE = 200


@frozen(kw_only=True)
class KnownRuns:
    """Runs by CVAT task. Dry runs are left out: they annotate nothing and hold no lease."""

    under_way: Mapping[int, Sequence[FlowRun]]
    ended_badly: Mapping[int, FlowRun]
    """The latest of a task that failed, crashed or was cancelled, today or yesterday (UTC)."""


def read_known_runs(client: SyncPrefectClient, flow: str, *, server: str | None) -> KnownRuns:
    """Runs of the flow on the CVAT server that `server` names, whoever asked for them: two
    requests, one for each 200 runs more, and one for each other block that runs name.

    Not by CVAT task: a run that has not begun is found by its parameters alone, and Prefect does
    not filter by those.
    """
    is_elsewhere = _Elsewhere(server)
    under_way: dict[int, list[FlowRun]] = {}
    waiting = FlowRunFilter(state=in_states(UNDER_WAY))
    for task_id, run in _runs(client, flow, waiting, FlowRunSort.ID_DESC):
        if not is_elsewhere(run):
            under_way.setdefault(task_id, []).append(run)
    # A whole day and more, so that what is known of a run does not change between two sweeps.
    midnight = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    lately = FlowRunFilterEndTime(after_=midnight - timedelta(days=1))  # type: ignore[arg-type]
    ended: dict[int, FlowRun] = {}
    bad = FlowRunFilter(state=in_states(ENDED_BADLY), end_time=lately)
    for task_id, run in _runs(client, flow, bad, FlowRunSort.END_TIME_DESC):
        if not is_elsewhere(run):
            ended.setdefault(task_id, run)
    return KnownRuns(under_way=under_way, ended_badly=ended)


class _Elsewhere:
    """Whether a run is surely on another CVAT server, where its task's number is another task's."""

    def __init__(self, server: str | None) -> None:
        self._server = server
        self._hosts: dict[str | None, str | None] = {}

    def __call__(self, run: FlowRun) -> bool:
        server = parameters_of(run).get("server")
        if server == self._server:
            return False
        own, other = self._host(self._server), self._host(server)
        return own is not None and other is not None and own != other

    def _host(self, server: str | None) -> str | None:
        if server not in self._hosts:
            try:
                host = find_settings(server).host
            except ServerSettingsError:
                self._hosts[server] = None
            else:
                self._hosts[server] = host.rpartition("://")[2].rstrip("/").lower()
        return self._hosts[server]


def parameters_of(run: FlowRun) -> Mapping[str, Any]:
    """What the run annotates, and how."""
    return run.parameters.get("parameters") or {}


def _runs(
    client: SyncPrefectClient, flow: str, wanted: FlowRunFilter, sort: FlowRunSort
) -> Iterator[tuple[int, FlowRun]]:
    offset = 0
    while True:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            flow_run_filter=wanted,
            sort=sort,
            limit=_PAGE,
            offset=offset,
        )
        for run in runs:
            parameters = parameters_of(run)
            task_id = parameters.get("task_id")
            if isinstance(task_id, int) and not parameters.get("dry_run"):
                yield task_id, run
        if len(runs) < _PAGE:
            return
        offset += _PAGE


def in_states(types: list[StateType]) -> FlowRunFilterState:
    """The runs in one of these states."""
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=types))
