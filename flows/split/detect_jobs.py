"""Detect on some jobs of a CVAT task for a run that annotates the task.

It writes its detections to the cache and nothing to CVAT; see flows.split.split.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.context import open_context
from cvat_flows.flows.run.detect import run_batches
from cvat_flows.flows.run.prepare import make_plan, make_run, open_notes
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.errors import CvatFlowsError


class FunctionDiffers(CvatFlowsError):
    """This worker's function is not the one that the main run uses."""


class DetectJobsParameters(BaseModel):
    """Filled in by the main run, which annotates the task."""

    model_config = ConfigDict(extra="forbid")

    task: AnnotateTaskParameters = Field(
        description="Options of the main run, with the jobs and frames of this run"
    )
    fingerprint: str = Field(description="Fingerprint of the main run's function")


def detect_jobs(parameters: DetectJobsParameters) -> Plan:
    """Run the steps up to detection, from the last frame to the first.

    The main run comes from the other end.
    """
    context = open_context(parameters.task)
    _check_fingerprint(context.function, parameters)
    notes = open_notes(context)
    plan = make_plan(context, notes)
    batches = plan.batches[::-1]
    with make_run(context, batches, notes) as run:
        # Failed frames are left to the main run, which retries and reports them.
        run_batches(run, batches)
    return plan


def _check_fingerprint(function: LoadedFunction, parameters: DetectJobsParameters) -> None:
    if function.fingerprint != parameters.fingerprint:
        raise FunctionDiffers(
            f"the function {function.title!r} of this worker differs from the main run's: install "
            "the same code, weights and library versions on all workers"
        )
