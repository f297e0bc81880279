"""Annotate several CVAT tasks with one command: one after the other, the model loaded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aa_functions.reference import FunctionReferenceError, LoadedFunction, load_function
from cvat_flows.flows.annotate_new import MAX_UNREACHABLE
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED, SERVER, status_of
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.output import Output
from cvat_flows.flows.commands.printing.run_output import progress_for, show_run
from cvat_flows.flows.commands.printing.terminal import say
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.sweep.find import Verdict, find_new
from cvat_flows.flows.sweep.rule_parts import client_for, function_for, judge_for
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.login import CannotConnect
from cvat_flows.tasks.detect.timeout import FunctionHangs
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.storage import open_storage

_NOT_RULE_OPTIONS = {"task_id", "function", "function_parameters", "server", "clear_existing"}


def find_tasks(
    values: Mapping[str, Any], *, projects: Sequence[str], only_new: bool, output: Output
) -> tuple[list[int], LoadedFunction]:
    """Return the ids of the tasks to annotate, and the function.

    Tasks without data, with a failed import or with 3D data are named and left out.

    Args:
        values: The fields of AnnotateTaskParameters.
        projects: Names or ids of CVAT projects. Empty: all tasks.
        only_new: Leave out tasks on which the function has nothing left to do.
        output: Where to say what is left out.
    """
    options = {name: one for name, one in values.items() if name not in _NOT_RULE_OPTIONS}
    if values.get("clear_existing"):
        options["existing"] = "clear"
    rule = SweepRule(
        projects=list(projects),
        function=values["function"],
        function_parameters=values["function_parameters"] or {},
        options=options,
        again_when=["failed", "frames", "function"],
    )
    loaded: dict[str, LoadedFunction] = {}
    output.note(f"loading {rule.for_task(1).short_name} ...")
    function = function_for(rule, loaded)
    is_fresh = bool(options.get("fresh"))
    judge = judge_for(rule, loaded, open_storage()) if only_new and not is_fresh else _wanted
    findings = find_new(client_for(rule, values.get("server")), rule, judge)
    where = f"--project {', '.join(projects)}" if projects else "CVAT"
    if not findings:
        raise UsageError(f"there is no task in {where}: check the name and your permissions")
    done = sum(finding.state == "done" for finding in findings)
    ids = [finding.task.id for finding in findings if finding.state == "new"]
    for finding in findings:
        if finding.state not in ("new", "done"):
            output.note(
                f"task {finding.task.id} {finding.task.name!r}: {finding.state}, {finding.reason}"
            )
    before = f", {counted(done, 'task')} done before" if done else ""
    output.note(f"{counted(len(ids), 'task')} to annotate{before}")
    return ids, function


def load_once(parameters: AnnotateTaskParameters, output: Output) -> LoadedFunction:
    """Load the function for all tasks. Raises FunctionReferenceError."""
    output.note(f"loading {parameters.short_name} ...")
    return load_function(parameters.reference)


def annotate_several(
    wanted: Sequence[AnnotateTaskParameters], function: LoadedFunction, output: Output
) -> int:
    """Annotate tasks one after the other, and return the exit status of the worst.

    A task that fails costs only itself. Stops if the function hangs, or if CVAT does not answer for
    several tasks in a row.
    """
    status, failed, unreachable = DONE, 0, 0
    for number, parameters in enumerate(wanted):
        inputs = LiveInputs(function=function, progress=progress_for(output))
        finished = run_here(parameters, inputs)
        error = finished.error
        failed += error is not None
        if finished.report is not None:
            show_run(output, finished.report, finished.url)
            status = max(status, FAILED if error else DONE)
        elif isinstance(error, CvatFlowsError | FunctionReferenceError):
            say(f"task {parameters.task_id}: {error}", error=True)
            output.row({"task": parameters.task_id, "error": str(error)})
            status = max(status, status_of(error))
        else:
            finished.report_or_raise()
        is_lost = isinstance(error, CvatUnavailable | CannotConnect)
        unreachable = unreachable + 1 if is_lost else 0
        left = len(wanted) - number - 1
        if left and (isinstance(error, FunctionHangs) or unreachable >= MAX_UNREACHABLE):
            why = "CVAT does not answer" if is_lost else "the function hangs"
            say(f"{counted(left, 'task')} not reached: {why}", error=True)
            status = max(status, SERVER if is_lost else FAILED)
            break
    output.say(
        f"{counted(len(wanted), 'task')}: {len(wanted) - failed:,} annotated, {failed:,} not"
    )
    return status


def _wanted(task: object) -> Verdict:
    return Verdict(state="new")
