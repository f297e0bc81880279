"""Read from Prefect which runs annotate CVAT tasks now, and which have failed lately."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any

from attrs import frozen
from cvat_sdk import Client
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

from cvat_flows.flows.form import options_of
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.client.login import CannotConnect
from cvat_flows.tasks.cvat.client.server import ServerSettingsError
from cvat_flows.tasks.cvat.client.settings import find_settings
from cvat_flows.tasks.cvat.task import fetch_identity
from cvat_flows.tasks.model.identity import TaskIdentity

ACTIVE_STATES = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]
UNSUCCESSFUL_STATES = [StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
_PAGE = 200


@frozen(kw_only=True)
class KnownRuns:
    """Runs by id of the CVAT task, without dry runs: they annotate nothing and have no lease."""

    active: Mapping[int, Sequence[FlowRun]]
    unsuccessful: Mapping[int, FlowRun]
    """The latest run that failed, crashed or was cancelled today or yesterday (UTC)."""


def read_known_runs(
    client: SyncPrefectClient, flow: str, *, server: str | None, tasks: Iterable[TaskIdentity]
) -> KnownRuns:
    """Read the runs of the flow on some CVAT tasks, no matter who started them.

    Reads the runs of all tasks with two requests and one more for each further 200 runs: Prefect
    cannot filter runs by parameters, and a run that has not started has no tag of its task.

    Args:
        flow: Name of the flow.
        server: Name of the CVATServer block.
        tasks: The CVAT tasks.
    """
    wanted = {task.task_id: task for task in tasks}
    is_about = _IsAbout(server, wanted)
    active: dict[int, list[FlowRun]] = {}
    not_ended = FlowRunFilter(state=in_states(ACTIVE_STATES))
    for task_id, run in _runs(client, flow, not_ended, FlowRunSort.ID_DESC):
        if is_about(task_id, run):
            active.setdefault(task_id, []).append(run)
    # From midnight, so that two sweeps on one day see the same runs.
    midnight = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    recently = FlowRunFilterEndTime(after_=midnight - timedelta(days=1))  # type: ignore[arg-type]
    unsuccessful: dict[int, FlowRun] = {}
    failed = FlowRunFilter(state=in_states(UNSUCCESSFUL_STATES), end_time=recently)
    for task_id, run in _runs(client, flow, failed, FlowRunSort.END_TIME_DESC):
        if is_about(task_id, run):
            unsuccessful.setdefault(task_id, run)
    return KnownRuns(active=active, unsuccessful=unsuccessful)


class _IsAbout:
    """Tells whether a run is about one of the tasks. On another CVAT server its id is another task.

    A run whose server is unknown counts. One whose task cannot be read there does not.
    """

    def __init__(self, server: str | None, tasks: Mapping[int, TaskIdentity]) -> None:
        self._server = server
        self._tasks = tasks
        self._hosts: dict[str | None, str | None] = {}
        self._clients: dict[str | None, Client | None] = {}
        self._elsewhere: dict[tuple[str | None, int], TaskIdentity | None] = {}

    def __call__(self, task_id: int, run: FlowRun) -> bool:
        if task_id not in self._tasks:
            return False
        server = parameters_of(run).get("server")
        if server == self._server:
            return True
        own, other = self._host(self._server), self._host(server)
        if own is None or other is None or own == other:
            return True
        # Two addresses may lead to one server. So the task itself tells.
        return self._task(server, task_id) == self._tasks[task_id]

    def _host(self, server: str | None) -> str | None:
        if server not in self._hosts:
            try:
                host = find_settings(server).host
            except ServerSettingsError:
                self._hosts[server] = None
            else:
                self._hosts[server] = host.rpartition("://")[2].rstrip("/").lower()
        return self._hosts[server]

    def _task(self, server: str | None, task_id: int) -> TaskIdentity | None:
        """Return the task with this id on another server, or None if it cannot be read."""
        if (server, task_id) not in self._elsewhere:
            task: TaskIdentity | None = None
            if cvat := self._client(server):
                with suppress(CvatRefused, CvatUnavailable):
                    task = fetch_identity(cvat, task_id)
            self._elsewhere[server, task_id] = task
        return self._elsewhere[server, task_id]

    def _client(self, server: str | None) -> Client | None:
        """Log in to another server, once. Returns None if that fails."""
        if server not in self._clients:
            self._clients[server] = None
            with suppress(ServerSettingsError, CannotConnect):
                self._clients[server] = connect(find_settings(server))
        return self._clients[server]


def parameters_of(run: FlowRun) -> Mapping[str, Any]:
    """Return the options of a run, by name."""
    return options_of(run.parameters)


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
    """Return a filter for runs in one of these states."""
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=types))
