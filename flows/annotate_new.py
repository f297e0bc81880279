"""The flow `annotate-new-tasks`: find new CVAT tasks and annotate them."""

# No `from __future__ import annotations` in a module with a flow: see flows.annotate.

from typing import Any, cast

from cvat_sdk import Client
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from aa_functions.reference import FunctionReferenceError, LoadedFunction
from cvat_flows.flows.in_process import result_of, run_here
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.sweep.find import Finding, find_new
from cvat_flows.flows.sweep.hand_over import HandOver
from cvat_flows.flows.sweep.listing import ListedTask
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.flows.sweep.rule_parts import client_for, function_for, why_new_for
from cvat_flows.flows.sweep.rules import AnnotateNewTasksParameters
from cvat_flows.tasks.cvat.connection import CannotConnect
from cvat_flows.tasks.cvat.errors import CvatUnavailable
from cvat_flows.tasks.detect.timeout import FunctionHangs
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import escape_markdown
from cvat_flows.tasks.reports.artifacts import add_markdown
from cvat_flows.tasks.storage import open_storage

MAX_UNREACHABLE = 3
"""The sweep gives up after this many tasks in a row that failed because CVAT did not answer."""


class SweepFailed(CvatFlowsError):
    """A sweep needs a person's attention.

    Attributes:
        report: The report of the sweep. It says what happened.
    """

    def __init__(self, report: SweepReport) -> None:
        super().__init__(report.sentence)
        self.report = report


@flow(
    name="annotate-new-tasks",
    description="Find new CVAT tasks and annotate them.",
    flow_run_name="look for new CVAT tasks",
    persist_result=False,
)
def annotate_new_tasks_flow(parameters: AnnotateNewTasksParameters) -> Any:
    """Find new CVAT tasks and annotate them. If one fails, the others are still annotated.

    A task is new if no manifest says that the rule's function has processed its frames. Tasks
    without data wait for the next sweep. Tasks whose import failed are reported.

    Args:
        parameters: The rules, and where to annotate.

    Returns:
        A `SweepReport`.

    Raises:
        SweepFailed: A task or a rule failed. The error has the report.
        CvatFlowsError: The sweep could not start. The error says what to do.

    >>> rule = SweepRule(task_name="street*", function="aa_functions.shapes")
    >>> report = annotate_new_tasks_flow(AnnotateNewTasksParameters(rules=[rule], dry_run=True))
    >>> report.sentence
    '1 would be annotated'
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
    """Run the flow in this process. Raises the error of a sweep that could not start."""
    state = cast(State[Any], annotate_new_tasks_flow(parameters, return_state=True))
    result = result_of(state)
    if isinstance(result, SweepFailed):
        return result.report
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, SweepReport)
    return result


def sweep(parameters: AnnotateNewTasksParameters) -> SweepReport:
    """Apply the rules in order. A CVAT task belongs to the first rule that it fits.

    Raises RulesError if there are no rules.
    """
    report = SweepReport()
    storage = open_storage()
    in_deployment = parameters.run_in == "deployment"
    deployment = HandOver(parameters.deployment, storage) if in_deployment else None
    seen: set[int] = set()
    functions: dict[str, LoadedFunction] = {}
    new_count = 0
    for rule in parameters.all_rules():
        try:
            client = client_for(rule, parameters.server)
            function = function_for(rule, functions)
            findings = find_new(
                client,
                rule,
                _always_new
                if rule.for_task(1).fresh
                else why_new_for(rule, function, storage, host=client.api_map.host),
                limit=None if parameters.limit is None else parameters.limit - new_count,
                exclude=seen,
            )
        except (CvatFlowsError, FunctionReferenceError) as error:
            report.rule_errors.append(f"rule {rule}: {error}")
            continue
        seen.update(finding.task.id for finding in findings)
        report.add_findings(findings)
        new = [finding for finding in findings if finding.state == "new"]
        new_count += len(new)
        if parameters.dry_run:
            for finding in new:
                report.add(finding, "would be annotated", finding.reason)
        elif deployment:
            deployment.submit_all(new, report, function=function, server=parameters.server)
        else:
            annotate_all(new, report, client=client, function=function, server=parameters.server)
    return report


def _always_new(task: ListedTask) -> str:
    """Say why a task is new to a rule with the option `fresh`.

    A sweep says it, not the check that the webhook shares: an upload is an event, so the webhook
    would annotate the task again and again.
    """
    return "fresh"


def annotate_all(
    findings: list[Finding],
    report: SweepReport,
    *,
    client: Client,
    function: LoadedFunction,
    server: str | None,
) -> None:
    """Annotate tasks one after the other in this process, with the model loaded once.

    Stops if the function hangs or CVAT does not answer.
    """
    unreachable = 0
    for position, finding in enumerate(findings):
        get_run_logger().info(
            "task %s %r is new (%s)", finding.task.id, finding.task.name, finding.reason
        )
        finished = run_here(
            finding.rule.for_task(finding.task.id, server=server),
            LiveInputs(client=client, function=function),
        )
        text = finished.report.sentence if finished.report else str(finished.error)
        report.add(finding, "failed" if finished.error else "annotated", text, run_url=finished.url)
        lost = isinstance(finished.error, CvatUnavailable | CannotConnect)
        unreachable = unreachable + 1 if lost else 0
        hangs = isinstance(finished.error, FunctionHangs)
        if hangs or unreachable >= MAX_UNREACHABLE:
            why = "the function hangs" if hangs else "CVAT does not answer"
            for left in findings[position + 1 :]:
                report.add(left, "not reached", why)
            return
