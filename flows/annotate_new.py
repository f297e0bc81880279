"""Find new CVAT tasks and annotate them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aa_functions.reference import FunctionReferenceError, LoadedFunction
from cvat_flows.flows.finished import RunTask
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.sweep.find import Finding, Verdict, find_new
from cvat_flows.flows.sweep.gates import better_only, check_gate_labels, hold_back
from cvat_flows.flows.sweep.listing import ListedTask
from cvat_flows.flows.sweep.parameters import AnnotateNewTasksParameters
from cvat_flows.flows.sweep.report import SweepReport
from cvat_flows.flows.sweep.rule_parts import client_for, function_for, judge_for
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.login import CannotConnect
from cvat_flows.tasks.detect.timeout import FunctionHangs
from cvat_flows.tasks.engine.current import current_engine, run_logger
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.storage import Storage, open_storage

if TYPE_CHECKING:
    from cvat_flows.flows.sweep.hand_over import HandOver

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


def sweep(parameters: AnnotateNewTasksParameters, run_task: RunTask) -> SweepReport:
    """Apply the rules in order. A CVAT task belongs to the first rule that it fits.

    `run_task` annotates a task in this process.

    Raises RulesError if there are no rules, or if a rule's gate names an unknown label.
    """
    report = SweepReport()
    storage = open_storage()
    deployment = _hand_over(parameters, storage) if parameters.run_in == "deployment" else None
    seen: set[int] = set()
    wanted = set(parameters.task_ids) if parameters.task_ids else None
    functions: dict[str, LoadedFunction] = {}
    new_count = 0
    rules = parameters.all_rules()
    check_gate_labels(rules, functions)
    for rule in rules:
        if wanted is not None:
            if wanted <= seen:
                break
            rule = rule.model_copy(update={"limit": None})
        try:
            client = client_for(rule, parameters.server)
            if wanted is None:
                function_for(rule, functions)  # a broken function shows even if no task fits
            judge = (
                _always_new
                if rule.for_task(1).fresh and wanted is None
                else judge_for(rule, functions, storage, better_only(rule, functions, storage))
            )
            findings = find_new(
                client,
                rule,
                hold_back(judge, rule, functions, storage, client),
                limit=None if parameters.limit is None else parameters.limit - new_count,
                only=wanted,
                exclude=seen,
            )
        except (CvatFlowsError, FunctionReferenceError) as error:
            report.rule_errors.append(f"rule {rule}: {error}")
            report.errors.append(error)
            continue
        seen.update(finding.task.id for finding in findings)
        report.add_findings(findings)
        new = [finding for finding in findings if finding.state == "new"]
        new_count += len(new)
        if not new:
            continue
        function = function_for(rule, functions)
        if parameters.dry_run:
            for finding in new:
                report.add(finding, "would be annotated", finding.reason)
        elif deployment:
            deployment.submit_all(new, report, function=function, server=parameters.server)
        else:
            inputs = LiveInputs(client=client, function=function)
            annotate_all(new, report, run_task, inputs, server=parameters.server)
    if wanted is not None and not report.rule_errors:
        report.unmatched = len(wanted - seen)
    return report


def _always_new(task: ListedTask) -> Verdict:
    """Say why a task is new to a rule with the option `fresh`.

    A sweep of named tasks does not say it: the webhook receiver names a task whenever a person has
    changed something about it.
    """
    return Verdict(state="new", reason="fresh")


def _hand_over(parameters: AnnotateNewTasksParameters, storage: Storage) -> HandOver:
    if not current_engine().is_recorded:
        raise CvatFlowsError(
            "--run-in deployment needs a Prefect server, and none is configured: set "
            "PREFECT_API_URL, or annotate in this process with --run-in process"
        )
    from cvat_flows.flows.sweep.hand_over import HandOver

    return HandOver(parameters.deployment, storage)


def annotate_all(
    findings: list[Finding],
    report: SweepReport,
    run_task: RunTask,
    inputs: LiveInputs,
    *,
    server: str | None,
) -> None:
    """Annotate tasks one after the other in this process, with the model loaded once.

    Stops if the function hangs or CVAT does not answer.
    """
    unreachable = 0
    for position, finding in enumerate(findings):
        run_logger().info(
            "task %s %r is new (%s)", finding.task.id, finding.task.name, finding.reason
        )
        finished = run_task(finding.parameters(server=server), inputs)
        text = finished.report.sentence if finished.report else str(finished.error)
        report.add(finding, "failed" if finished.error else "annotated", text, run_url=finished.url)
        if finished.error:
            report.errors.append(finished.error)
        lost = isinstance(finished.error, CvatUnavailable | CannotConnect)
        unreachable = unreachable + 1 if lost else 0
        hangs = isinstance(finished.error, FunctionHangs)
        if hangs or unreachable >= MAX_UNREACHABLE:
            why = "the function hangs" if hangs else "CVAT does not answer"
            for left in findings[position + 1 :]:
                report.add(left, "not reached", why)
            return
