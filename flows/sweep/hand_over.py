"""Hand CVAT tasks to the deployment `annotate-task`, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.run.links import flow_run_url
from cvat_flows.flows.run.upload import options_digest
from cvat_flows.flows.sweep.find import Finding
from cvat_flows.flows.sweep.known_runs import parameters_of, read_known_runs
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import on_one_line
from cvat_flows.tasks.storage import Storage
from cvat_flows.tasks.upload.lease_file import current_writer

_BEGUN = {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}
STARTUP_GRACE = timedelta(minutes=10)
"""From its start a run has so long to load its function and to take its CVAT task."""


class NoDeployment(CvatFlowsError):
    """The deployment that tasks are to be handed to is not there."""


class HandOver:
    """Asks for runs of a deployment, one for each CVAT task."""

    def __init__(self, deployment: str, storage: Storage) -> None:
        self.deployment = deployment
        self.storage = storage

    def submit_all(
        self,
        findings: list[Finding],
        report: SweepReport,
        *,
        function: LoadedFunction,
        server: str | None,
    ) -> None:
        """Ask for a run for each task, but for those that have one under way.

        A task whose last run ended badly gets a new one: one attempt a sweep. Raises NoDeployment.
        """
        if not findings:
            return
        with get_client(sync_client=True) as client:
            try:
                deployment = client.read_deployment_by_name(self.deployment)
            except ObjectNotFound as error:
                raise NoDeployment(
                    f"Prefect has no deployment {self.deployment!r}: make it with `cvat-flows "
                    "setup`, or let the sweep annotate in its own process (run_in='process')"
                ) from error
            known = read_known_runs(client, self.deployment.partition("/")[0], server=server)
            for finding in findings:
                runs = known.under_way.get(finding.task.id, [])
                dead = [run for run in runs if self._is_dead(run, finding, server)]
                for run in dead:
                    _mark_crashed(client, run)
                if len(dead) < len(runs):
                    report.add(finding, "under way", "a run for it has not ended yet")
                    continue
                parameters = finding.rule.for_task(finding.task.id, server=server)
                failed = dead[-1] if dead else known.ended_badly.get(finding.task.id)
                try:
                    made = client.create_flow_run_from_deployment(
                        deployment.id,
                        parameters={"parameters": parameters.model_dump(mode="json")},
                        idempotency_key=_key(finding, function, options_digest(parameters), failed),
                    )
                except PrefectHTTPStatusError as error:
                    # It may be this task's options alone that Prefect does not take.
                    report.add(finding, "failed", on_one_line(f"Prefect took no run: {error}", 300))
                    continue
                url = flow_run_url(made.id)
                if made.state is not None and made.state.is_final():
                    text = f"a run of today for the same has ended: {made.state.name}"
                    report.add(finding, "not repeated", text, run_url=url)
                else:
                    report.add(finding, "handed over", finding.reason, run_url=url)

    def _is_dead(self, run: FlowRun, finding: Finding, server: str | None) -> bool:
        """Whether a run has begun long ago and nobody writes to its CVAT task.

        Prefect learns of a dead worker from events, which may get lost; a run at work has a lease.
        """
        if run.state is None or run.state.type not in _BEGUN:
            return False
        if datetime.now(UTC) - run.state.timestamp < STARTUP_GRACE:
            return False
        if parameters_of(run).get("server") != server:
            return False  # it may be the task of this number of another CVAT
        host = finding.task.url.rpartition("/tasks/")[0]
        return current_writer(self.storage, server=host, task_id=finding.task.id) is None


def _mark_crashed(client: SyncPrefectClient, run: FlowRun) -> None:
    message = (
        f"It began more than {STARTUP_GRACE.seconds // 60} minutes ago and does not hold its CVAT "
        "task: its worker died."
    )
    client.set_flow_run_state(run.id, Crashed(message=message), force=True)


def _key(finding: Finding, function: LoadedFunction, options: str, failed: FlowRun | None) -> str:
    """The same request on the same day is one run, however many sweeps ask; but Prefect gives the
    run of a key whatever became of it, so one that ended badly makes it another request."""
    return ":".join(
        [
            "cvat-flows",
            finding.task.url,
            finding.reason,
            (function.fingerprint or function.title)[:32],
            options,
            datetime.now(UTC).date().isoformat(),
            *([str(failed.id)] if failed else []),
        ]
    )
