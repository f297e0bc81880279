"""The flow `annotate-new-tasks`: find the CVAT tasks that are new, and annotate them."""

# No postponed annotations where a flow is: `serve` hands it to another process by value, and there
# the names in them are not found.

from typing import Any, cast

from attrs import evolve
from cvat_sdk import Client
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from aa_functions.reference import FunctionReferenceError, LoadedFunction, load_function
from cvat_flows.flows.in_process import Finished, result_of, run_here
from cvat_flows.flows.run.connect import connect_for_run
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.run.upload import function_name, options_digest
from cvat_flows.flows.sweep.find import Finding, IsNew, ListedTask, find_new, why_new
from cvat_flows.flows.sweep.hand_over import HandOver
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.flows.sweep.rules import AnnotateNewTasksParameters, SweepRule
from cvat_flows.tasks.cvat.connection import CannotConnect
from cvat_flows.tasks.cvat.errors import CvatUnavailable
from cvat_flows.tasks.cvat.server_block import find_settings
from cvat_flows.tasks.detect.timeout import FunctionHangs
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import escape_markdown
from cvat_flows.tasks.reports.artifacts import add_markdown
from cvat_flows.tasks.storage import Storage, open_storage
from cvat_flows.tasks.upload.manifest_summary import read_summary

LOST_IN_A_ROW = 3
"""Tasks that fail one after the other because CVAT does not answer, until the sweep gives up."""


class SweepFailed(CvatFlowsError):
    """Something in a sweep needs a person; the report says what."""

    def __init__(self, report: SweepReport) -> None:
        super().__init__(report.sentence)
        self.report = report


@flow(name="annotate-new-tasks", flow_run_name="look for new CVAT tasks", persist_result=False)
def annotate_new_tasks_flow(parameters: AnnotateNewTasksParameters) -> Any:
    """Find the CVAT tasks that are new and annotate them; one that fails stops no other.

    A task is new when no manifest says that the rule's function has done its frames. Tasks
    without data are left for the next sweep; those whose import failed are reported.
    """
    try:
        report = sweep(parameters)
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=str(error), data=error)
    add_markdown(
        report.markdown(),
        key="annotate-new-tasks",
        description=escape_markdown(report.sentence.partition(" (task ")[0], 300),
    )
    if report.failed:
        return Failed(message=report.sentence, data=SweepFailed(report))
    return Completed(message=report.sentence, data=report)


def sweep_here(parameters: AnnotateNewTasksParameters) -> SweepReport:
    """Run the flow in this process. Raises what kept it from looking for tasks at all."""
    state = cast(State[Any], annotate_new_tasks_flow(parameters, return_state=True))
    result = result_of(state)
    if isinstance(result, SweepFailed):
        return result.report
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, SweepReport)
    return result


def sweep(parameters: AnnotateNewTasksParameters) -> SweepReport:
    """Go through the rules; the first one that fits a CVAT task counts.

    Raises RulesError if there is no rule.
    """
    report = SweepReport()
    storage = open_storage()
    handed = HandOver(parameters.deployment, storage) if parameters.run_in == "deployment" else None
    seen: set[int] = set()
    functions: dict[str, LoadedFunction] = {}
    taken = 0
    for rule in parameters.all_rules():
        try:
            client = client_of(rule, parameters.server)
            function = function_of(rule, functions)
            findings = find_new(
                client,
                rule,
                new_for(rule, function, storage, host=client.api_map.host),
                limit=None if parameters.limit is None else parameters.limit - taken,
                without=seen,
            )
        except (CvatFlowsError, FunctionReferenceError) as error:
            report.rule_errors.append(f"rule {rule}: {error}")
            continue
        seen.update(finding.task.id for finding in findings)
        report.add_findings(findings)
        new = findings.of("new")
        taken += len(new)
        if parameters.dry_run:
            for finding in new:
                report.add(finding, "would be annotated", finding.reason)
        elif handed:
            handed.submit_all(new, report, function=function, server=parameters.server)
        else:
            annotate_here(new, report, client=client, function=function, server=parameters.server)
    return report


def client_of(rule: SweepRule, server: str | None) -> Client:
    """A client in the rule's organization. Raises CannotConnect, ServerSettingsError."""
    settings = find_settings(server)
    if rule.organization is not None:
        settings = evolve(settings, organization=rule.organization)
    return connect_for_run(settings)


def function_of(rule: SweepRule, loaded: dict[str, LoadedFunction]) -> LoadedFunction:
    """The rule's function, loaded once a sweep. Raises FunctionReferenceError."""
    key = repr((rule.function, sorted(rule.function_parameters.items())))
    if key not in loaded:
        loaded[key] = load_function(rule.for_task(1).reference)
    return loaded[key]


def new_for(rule: SweepRule, function: LoadedFunction, storage: Storage, *, host: str) -> IsNew:
    """Tells whether a task is new to the rule's function, from the manifest's summary alone."""
    name = function_name(function)
    fingerprint = function.fingerprint or ""
    options = options_digest(rule.for_task(1))

    def ask(task: ListedTask) -> str | None:
        return why_new(
            read_summary(storage, server=host, task_id=task.id, function=name),
            frames=task.frames,
            fingerprint=fingerprint,
            options=options,
            again_when=rule.again_when,
        )

    return ask


def annotate_here(
    findings: list[Finding],
    report: SweepReport,
    *,
    client: Client,
    function: LoadedFunction,
    server: str | None,
) -> None:
    """Annotate tasks in this process, one after the other, with the model loaded once."""
    lost = 0
    for position, finding in enumerate(findings):
        get_run_logger().info(
            "task %s %r is new (%s)", finding.task.id, finding.task.name, finding.reason
        )
        finished = run_here(
            finding.rule.for_task(finding.task.id, server=server),
            LiveInputs(client=client, function=function),
        )
        _note(report, finding, finished)
        lost = lost + 1 if isinstance(finished.error, CvatUnavailable | CannotConnect) else 0
        hangs = isinstance(finished.error, FunctionHangs)
        if hangs or lost >= LOST_IN_A_ROW:
            why = "the function hangs" if hangs else "CVAT does not answer"
            for left in findings[position + 1 :]:
                report.add(left, "not reached", why)
            return


def _note(report: SweepReport, finding: Finding, finished: Finished) -> None:
    text = finished.report.sentence if finished.report else str(finished.error)
    report.add(finding, "failed" if finished.error else "annotated", text, run_url=finished.url)
