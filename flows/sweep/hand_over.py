"""Start runs of the deployment `annotate-task`, one for each CVAT task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.form import flow_parameters
from cvat_flows.flows.run.reporting.links import flow_run_url
from cvat_flows.flows.sweep.child_runs import start_child_run
from cvat_flows.flows.sweep.find import Finding
from cvat_flows.flows.sweep.known_runs import parameters_of, read_known_runs
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import on_one_line, shorten_name
from cvat_flows.tasks.record.lease_file import current_writer
from cvat_flows.tasks.storage import Storage

_STARTED_STATES = {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}
STARTUP_GRACE = timedelta(minutes=10)
"""How long a run may take to load its function and get the lease of its CVAT task."""


class NoDeployment(CvatFlowsError):
    """The deployment does not exist."""


class HandOver:
    """Starts runs of a deployment."""

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
        """Start a run for each task that has no active run. Raises NoDeployment.

        A task whose last run failed gets a new run: one attempt for each sweep.
        """
        if not findings:
            return
        with get_client(sync_client=True) as client:
            try:
                deployment = client.read_deployment_by_name(self.deployment)
            except ObjectNotFound as error:
                raise NoDeployment(
                    f"Prefect has no deployment {self.deployment!r}: create it with `cvat-flows "
                    "setup`, or annotate in the sweep's process with --run-in process"
                ) from error
            known = read_known_runs(
                client,
                self.deployment.partition("/")[0],
                server=server,
                tasks=[finding.task.identity for finding in findings],
            )
            for finding in findings:
                runs = known.active.get(finding.task.id, [])
                dead = [run for run in runs if self._is_dead(run, finding, server)]
                for run in dead:
                    _mark_crashed(client, run)
                if len(dead) < len(runs):
                    report.add(finding, "under way", "a run for it has not ended yet")
                    continue
                parameters = finding.parameters(server=server)
                failed = dead[-1] if dead else known.unsuccessful.get(finding.task.id)
                try:
                    child = start_child_run(
                        client,
                        deployment.id,
                        name=f'annotate {finding.task.id} "{shorten_name(finding.task.name, 60)}"',
                        parameters=flow_parameters(parameters),
                        key=_key(finding, function, parameters.result_digest(), failed),
                    )
                except PrefectHTTPStatusError as error:
                    # The reason may be this task's options, so the other tasks go on.
                    text = on_one_line(f"Prefect refused the run: {error}", 300)
                    report.add(finding, "failed", text)
                    continue
                made = child.run
                url = flow_run_url(made.id)
                if made.state is not None and made.state.is_final():
                    text = f"the same run has already ended today: {made.state.name}"
                    report.add(finding, "not repeated", text, run_url=url)
                else:
                    own = made.id if child.is_new else None
                    report.add(finding, "handed over", finding.reason, run_url=url, run_id=own)

    def _is_dead(self, run: FlowRun, finding: Finding, server: str | None) -> bool:
        """Return whether a run has started some time ago but has no lease of its CVAT task.

        Prefect detects dead workers by events, which can get lost. A live run has a lease.
        """
        if run.state is None or run.state.type not in _STARTED_STATES:
            return False
        if datetime.now(UTC) - run.state.timestamp < STARTUP_GRACE:
            return False
        if parameters_of(run).get("server") != server:
            return False  # It may be a task with the same id on another CVAT server.
        return current_writer(self.storage, finding.task.identity) is None


def _mark_crashed(client: SyncPrefectClient, run: FlowRun) -> None:
    message = (
        f"The worker died: the run started more than {STARTUP_GRACE.seconds // 60} minutes ago and "
        "has no lease of its CVAT task."
    )
    client.set_flow_run_state(run.id, Crashed(message=message), force=True)


def _key(finding: Finding, function: LoadedFunction, options: str, failed: FlowRun | None) -> str:
    """Return the idempotency key, so that several sweeps on the same day start one run.

    Prefect returns the run of a known key even if it failed, so a failed run changes the key.
    """
    return ":".join(
        [
            "cvat-flows",
            finding.task.identity.folder,
            finding.reason,
            (function.fingerprint or function.title)[:32],
            options,
            datetime.now(UTC).date().isoformat(),
            *([str(failed.id)] if failed else []),
        ]
    )
