"""Find the CVAT tasks that are ready to be annotated."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import field, frozen
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from aa_functions.reference import LoadedFunction
from cvat_flows.deployments.webhook.announcement import Announcement
from cvat_flows.deployments.webhook.prefect_calls import HTTPX_SETTINGS, without_retries
from cvat_flows.flows.prefect_flows import annotate_task_flow
from cvat_flows.flows.sweep.find import Finding, find_new
from cvat_flows.flows.sweep.known_runs import read_known_runs
from cvat_flows.flows.sweep.rule_parts import client_for, function_for, judge_for
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.storage import Storage, open_storage


@frozen(kw_only=True)
class ScanResult:
    """The result of scanning some tasks."""

    ready: list[Announcement] = field(factory=list)
    settled: set[int] = field(factory=set)
    """IDs of tasks that need no further scan: announced, running, done, or without a rule."""


class ReadyTaskFinder:
    """Finds ready tasks by the rules. One scan covers many tasks with few requests."""

    def __init__(self, rules: Sequence[SweepRule]) -> None:
        """Load the rules' functions. Raises FunctionReferenceError or CannotConnect."""
        self.storage: Storage = open_storage()
        loaded: dict[str, LoadedFunction] = {}
        self.rules = [
            (rule.model_copy(update={"limit": None}), function_for(rule, loaded)) for rule in rules
        ]
        for rule, _ in self.rules:
            client_for(rule, None)

    def scan(self, task_ids: Collection[int]) -> ScanResult:
        """Read the tasks from CVAT, whatever their deliveries said.

        Sends one request for each rule, and one for each project if rules name labels.

        Raises CvatUnavailable, CvatRefused, CannotConnect or PrefectUnavailable.
        """
        new: list[tuple[Finding, LoadedFunction]] = []
        result = ScanResult(settled=set(task_ids))
        remaining = set(task_ids)
        for rule, function in self.rules:
            if not remaining:
                break
            client = client_for(rule, None)
            judge = judge_for(rule, function, self.storage)
            for finding in find_new(client, rule, judge, only=remaining):
                remaining.discard(finding.task.id)
                if finding.state == "new":
                    new.append((finding, function))
                elif finding.state == "waiting":
                    # This delivery came before the data. Another one follows.
                    result.settled.discard(finding.task.id)
        if new:
            with (
                without_retries(),
                get_client(sync_client=True, httpx_settings=HTTPX_SETTINGS) as prefect,
            ):
                known = read_known_runs(
                    prefect,
                    annotate_task_flow.name,
                    server=None,
                    tasks=[finding.task.identity for finding, _ in new],
                )
            for finding, function in new:
                # A run that uploads makes CVAT deliver `update:task` for its own task.
                if finding.task.id not in known.active:
                    failed = known.unsuccessful.get(finding.task.id)
                    result.ready.append(_announcement(finding, function, failed))
        return result


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
        version=f"{function.fingerprint or function.title} {parameters.result_digest()}",
        failed_run=str(failed.id) if failed else "",
    )
