"""Start and cancel the helper runs of a split run, through Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Cancelled, Cancelling

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.split.parts import CannotSplit, Part, frames_option

DEPLOYMENT = "detect-jobs/detect-jobs"
_NOT_STARTED = {StateType.SCHEDULED, StateType.PENDING}


def start_helper(
    part: Part, function: LoadedFunction, parameters: AnnotateTaskParameters
) -> FlowRun:
    """Start a run of `detect-jobs` for a part of the plan. Raises CannotSplit."""
    task = parameters.model_copy(
        update={
            "split": None,
            "jobs": list(part.jobs),
            "frames": frames_option(part.frames),
            "only_unannotated": False,
        }
    )
    wanted = {"task": task.model_dump(mode="json"), "fingerprint": function.fingerprint}
    jobs = ", ".join(map(str, part.jobs))
    try:
        run: Any = run_deployment(
            DEPLOYMENT,
            flow_run_name=f"detect {parameters.task_id} · jobs {jobs}"[:200],
            parameters={"parameters": wanted},
            timeout=0,
            # A digest, because PostgreSQL cannot index a text with hundreds of jobs.
            idempotency_key=f"{flow_run.id} {sha256(jobs.encode()).hexdigest()[:16]}",
        )
    except ObjectNotFound as error:
        raise CannotSplit(
            f"--split {parameters.split} needs the deployment {DEPLOYMENT!r}: create it with "
            "`cvat-flows setup`, or remove --split"
        ) from error
    assert isinstance(run, FlowRun)
    return run


def cancel_helpers(runs: Sequence[FlowRun], *, running: bool) -> None:
    """Cancel the helper runs that have not started, and with `running` the others, too."""
    with get_client(sync_client=True) as client:
        for one in runs:
            state = client.read_flow_run(UUID(str(one.id))).state
            if state is None or state.is_final():
                continue
            if state.type in _NOT_STARTED:
                message = "Not needed: the main run has finished."
                client.set_flow_run_state(one.id, Cancelled(message=message))
            elif running:
                client.set_flow_run_state(one.id, Cancelling())
