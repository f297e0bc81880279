"""Look at CVAT tasks that may be ready and announce those that are, as Prefect events."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from attrs import field, frozen
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.annotate import annotate_task_flow
from cvat_flows.flows.annotate_new import client_of, function_of, new_for
from cvat_flows.flows.run.upload import options_digest
from cvat_flows.flows.sweep.find import Finding, find_new
from cvat_flows.flows.sweep.known_runs import read_known_runs
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.storage import Storage, open_storage
from cvat_flows.tasks.upload.manifest import slug

READY = "cvat.task.ready"
"""Name of the event. Its payload's `parameters` are those of annotate-task."""
FLOW = annotate_task_flow.name
SHORT_WAIT = {"timeout": 5.0}
"""For a request to Prefect, in seconds: CVAT gives up after 10."""


@frozen(kw_only=True)
class Announcement:
    """A CVAT task is ready and new."""

    task_id: int
    name: str
    frames: int
    url: str
    project_id: int | None
    rule: str
    parameters: dict[str, Any]
    """Of annotate-task."""
    version: str
    """Of the function and its options."""
    failed_run: str = ""
    """Id of the task's last run, if it ended badly: that it is to be tried again is news."""

    @property
    def event_id(self) -> UUID:
        """The same for the same news: until its run is there to be seen, Prefect takes the event
        once (it remembers ids for five minutes), whichever receiver sends it and however often."""
        return uuid5(NAMESPACE_URL, f"{self.url} {self.version} {self.failed_run}")

    def to_event(self, now: datetime | None = None) -> dict[str, Any]:
        """The event as `POST /api/events` takes it."""
        now = now or datetime.now(UTC)
        host = self.url.rpartition("/tasks/")[0]
        related = []
        if self.project_id is not None:
            related.append(
                {
                    "prefect.resource.id": f"cvat.project.{slug(host)}.{self.project_id}",
                    "prefect.resource.role": "project",
                }
            )
        return {
            "id": str(self.event_id),
            "occurred": now.isoformat(),
            "event": READY,
            "resource": {
                "prefect.resource.id": f"cvat.task.{slug(host)}.{self.task_id}",
                "prefect.resource.name": self.name,
                "cvat.task.url": self.url,
            },
            "related": related,
            "payload": {
                "task_id": self.task_id,
                "name": self.name,
                "frames": self.frames,
                "rule": self.rule,
                "parameters": self.parameters,
            },
        }


@frozen(kw_only=True)
class Look:
    """What a look at some tasks showed."""

    ready: list[Announcement] = field(factory=list)
    settled: set[int] = field(factory=set)
    """Tasks that need no second look: announced, under way, done, or fitting no rule."""


class PrefectDown(CvatFlowsError):
    """Prefect does not answer, or did not take an event."""


@contextmanager
def one_try() -> Iterator[None]:
    """Ask Prefect without patience: CVAT waits for the answer, and the sweep makes up for what is
    lost. Raises PrefectDown."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        try:
            yield
        except Exception as error:
            raise PrefectDown(
                f"the Prefect server does not answer ({type(error).__name__}: {error})"
            ) from error


class TaskLookout:
    """Knows the rules; asks CVAT about tasks, many in one request, and Prefect about their runs."""

    def __init__(self, rules: Sequence[SweepRule]) -> None:
        """Loads the rules' functions. Raises FunctionReferenceError, CannotConnect."""
        self.storage: Storage = open_storage()
        loaded: dict[str, LoadedFunction] = {}
        self.rules = [
            (rule.model_copy(update={"limit": None}), function_of(rule, loaded)) for rule in rules
        ]
        for rule, _ in self.rules:
            client_of(rule, None)

    def look(self, task_ids: Collection[int]) -> Look:
        """Read the tasks again, whatever their deliveries said.

        One request a rule, and one a project if rules name labels. Raises CvatUnavailable,
        CvatRefused, CannotConnect, PrefectDown.
        """
        new: list[tuple[Finding, LoadedFunction]] = []
        seen = Look(settled=set(task_ids))
        left = set(task_ids)
        for rule, function in self.rules:
            if not left:
                break
            client = client_of(rule, None)
            is_new = new_for(rule, function, self.storage, host=client.api_map.host)
            for finding in find_new(client, rule, is_new, only=left):
                left.discard(finding.task.id)
                if finding.state == "new":
                    new.append((finding, function))
                elif finding.state == "waiting":
                    # The delivery was faster than the data: another one follows.
                    seen.settled.discard(finding.task.id)
        if new:
            with one_try(), get_client(sync_client=True, httpx_settings=SHORT_WAIT) as prefect:
                known = read_known_runs(prefect, FLOW, server=None)
            for finding, function in new:
                # A run's own uploads make CVAT say that the task was updated.
                if finding.task.id not in known.under_way:
                    failed = known.ended_badly.get(finding.task.id)
                    seen.ready.append(_announcement(finding, function, failed))
        return seen


def _announcement(
    finding: Finding, function: LoadedFunction, failed: FlowRun | None
) -> Announcement:
    parameters = finding.rule.for_task(finding.task.id)
    return Announcement(
        task_id=finding.task.id,
        name=finding.task.name,
        frames=finding.task.frames,
        url=finding.task.url,
        project_id=finding.task.project_id,
        rule=str(finding.rule),
        parameters=parameters.model_dump(mode="json"),
        version=f"{function.fingerprint or function.title} {options_digest(parameters)}",
        failed_run=str(failed.id) if failed else "",
    )
