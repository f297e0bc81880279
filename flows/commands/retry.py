"""`cvat-flows retry`: run a failed run again: do only what is missing."""

from __future__ import annotations

import argparse
import re
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from cvat_flows.flows.commands.arguments.confirm import add_yes_argument, confirm
from cvat_flows.flows.commands.arguments.model_options import build
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    given_server_options,
    use_server_arguments,
)
from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.flows.commands.printing.output import Output, add_output_arguments
from cvat_flows.flows.commands.printing.run_output import progress_for, show_run
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.prefect_flows import annotate_task_flow
from cvat_flows.flows.prefect_flows.here import run_again_here
from cvat_flows.flows.prefect_server import require_prefect
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.run.reporting.links import flow_run_url
from cvat_flows.flows.sweep.known_runs import UNSUCCESSFUL_STATES, in_states, parameters_of
from cvat_flows.tasks.engine.configured import prefect_is_configured
from cvat_flows.tasks.model.errors import CvatFlowsError

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_MAX_RUNS = 200
"""Runs that are searched for the latest failed one."""


class CannotRetry(CvatFlowsError):
    """The run does not exist or cannot be retried."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "flow_run",
        nargs="?",
        metavar="RUN",
        help="id, name or UI address of the flow run (default: the latest failed run of "
        "annotate-task that is not a dry run)",
    )
    parser.add_argument(
        "--here",
        action="store_true",
        help="run in this process, even if the run belongs to a deployment",
    )
    add_yes_argument(parser)
    add_output_arguments(parser, of="run")
    add_server_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if not prefect_is_configured():
        raise CannotRetry(
            "without a Prefect server no run is recorded: repeat the command of the run, such as "
            "`cvat-flows annotate`, which does only what is missing, or set PREFECT_API_URL"
        )
    require_prefect()
    output = Output.of(arguments)
    with get_client(sync_client=True) as client:
        found = find_run(client, arguments.flow_run)
        parameters = check(client, found)
        if arguments.flow_run is None:
            output.note(describe(found))
            if not confirm("run it again?", yes=arguments.yes):
                output.say("nothing was changed")
                return FAILED
        if found.deployment_id is not None and not arguments.here:
            given = given_server_options(arguments)
            if given:
                raise UsageError(
                    f"{', '.join(given)} does not work here, because a worker with its own "
                    "settings runs it: remove it, or run in this process with --here"
                )
            client.set_flow_run_state(
                found.id, Scheduled(message="Retried by cvat-flows"), force=True
            )
            url = flow_run_url(found.id)
            output.say(f"{found.name}: waiting for a worker {url or ''}")
            output.row({"run": str(found.id), "name": found.name, "prefect_url": url})
            return DONE
    use_server_arguments(arguments, block=parameters.server)
    output.note(f"running again: {found.name}")
    finished = run_again_here(found, parameters, LiveInputs(progress=progress_for(output)))
    show_run(output, finished.report_or_raise(), finished.url, run=str(found.id))
    return FAILED if finished.error else DONE


def describe(run: FlowRun) -> str:
    """Say which run this is: its name, how it ended, and when."""
    state = run.state
    ended = f", {state.name} at {run.end_time:%Y-%m-%d %H:%M} UTC" if state and run.end_time else ""
    why = f": {state.message}" if state and state.message else ""
    return f"the latest failed run is {run.name!r} ({run.id}){ended}{why}"


def find_run(client: SyncPrefectClient, wanted: str | None) -> FlowRun:
    """Find the run. Raises CannotRetry if there is none, or more than one."""
    ours = FlowFilter(name=FlowFilterName(any_=[annotate_task_flow.name]))
    if wanted is None:
        runs = client.read_flow_runs(
            flow_filter=ours,
            flow_run_filter=FlowRunFilter(state=in_states(UNSUCCESSFUL_STATES)),
            sort=FlowRunSort.START_TIME_DESC,
            limit=_MAX_RUNS,
        )
        for latest in runs:
            if not parameters_of(latest).get("dry_run"):
                return latest
        raise CannotRetry("no run of annotate-task has failed, so there is nothing to retry")
    found = _ID.search(wanted)
    if found:
        try:
            return client.read_flow_run(UUID(found.group()))
        except ObjectNotFound:
            raise CannotRetry(f"Prefect has no flow run {found.group()}") from None
    runs = client.read_flow_runs(
        flow_filter=ours,
        flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[wanted])),
        limit=2,
    )
    if len(runs) != 1:
        count = "several flow runs" if runs else "no flow run"
        raise CannotRetry(f"{count} of annotate-task named {wanted!r}: give the run's id")
    return runs[0]


def check(client: SyncPrefectClient, found: FlowRun) -> AnnotateTaskParameters:
    """Check that a run can be retried, and return its parameters. Raises CannotRetry."""
    flow_name = client.read_flow(found.flow_id).name
    if flow_name != annotate_task_flow.name:
        raise CannotRetry(
            f"{found.name!r} is a run of the flow {flow_name!r}, but `cvat-flows retry` accepts "
            "only runs of annotate-task: use `prefect flow-run retry`"
        )
    if found.state is None or not found.state.is_final():
        state = found.state.name if found.state else "unknown"
        raise CannotRetry(
            f"{found.name!r} has not ended (its state is {state}): wait until it ends"
        )
    return build(AnnotateTaskParameters, parameters_of(found))


COMMAND = Command(
    name="retry",
    configure=configure,
    run=run,
)
