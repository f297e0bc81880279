"""The last log line of a run that crashed or was cancelled."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from cvat_flows.flows.form import options_of


def log_how_to_continue(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Log what is in CVAT and how to go on. Prefect calls this in the run or in its worker."""
    parameters = options_of(flow_run.parameters)
    ending = "crashed" if state.is_crashed() else "was cancelled"
    if parameters.get("dry_run"):
        uploads = "Nothing was written to CVAT: it was a dry run."
    else:
        uploads = (
            "Annotations uploaded so far are in CVAT and recorded; another run adds only what is "
            f"missing. To delete them: cvat-flows undo {parameters.get('task_id')} --run "
            f"{flow_run.id}"
        )
    logger = flow_run_logger(flow_run, flow)
    logger.warning("The run %s. To continue: cvat-flows retry %s. %s", ending, flow_run.id, uploads)
    # A terminated process has no time left to send its last lines to the Prefect server.
    for handler in logger.logger.handlers:
        handler.flush()
