"""The flow `detect-jobs`: detect on some jobs of a CVAT task for a run that annotates all of it.

It leaves its detections in the cache and writes nothing to CVAT (flows.run.split).
"""

# No postponed annotations where a flow is: `serve` hands it to another process by value, and there
# the names in them are not found.

from collections import deque
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, Field

from aa_functions.reference import FunctionReferenceError, LoadedFunction, load_function
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.connect import connect_for_run
from cvat_flows.flows.run.detect import BATCHES_IN_FLIGHT
from cvat_flows.flows.run.log import filter_engine_log
from cvat_flows.flows.run.prepare import caches_of, make_run, match_labels
from cvat_flows.tasks.cvat.server_block import find_settings
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Batch
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.steps import (
    detect,
    fetch_frames,
    fetch_labels,
    fetch_media,
    plan_frames,
    read_cached,
)
from cvat_flows.tasks.storage import open_storage

_RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=4 * BATCHES_IN_FLIGHT)


class OtherFunction(CvatFlowsError):
    """The function that this worker has is not the one that was asked for."""


class DetectJobsParameters(BaseModel):
    """Filled in by the run that asks for help."""

    model_config = ConfigDict(extra="forbid")

    task: AnnotateTaskParameters = Field(description="What to detect on: frames and jobs")
    fingerprint: str = Field(description="Of the function that the asking run uses")


@flow(name="detect-jobs", task_runner=_RUNNER, persist_result=False)
def detect_jobs_flow(parameters: DetectJobsParameters) -> State[Any]:
    """Detect on some jobs of a CVAT task that another run annotates with split='jobs'."""
    filter_engine_log()
    try:
        plan = detect_jobs(parameters)
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=str(error), data=error)
    return Completed(message=f"looked at {plan.frame_count:,} frames")


def detect_jobs(parameters: DetectJobsParameters) -> Plan:
    """Run the steps up to detecting, the last frames first: the asking run comes from the front."""
    wanted = parameters.task
    client = connect_for_run(find_settings(wanted.server))
    media = fetch_media(client, wanted.task_id)
    function = load_function(wanted.reference)
    _check(function, parameters)
    labels = fetch_labels(client, wanted.task_id)
    plan = plan_frames(
        media,
        {
            "frames": wanted.frames,
            "jobs": wanted.jobs,
            "frames_per_run": wanted.frames_per_run,
            "include_ground_truth": wanted.include_ground_truth,
        },
    )
    batches = plan.batches[::-1]
    run = make_run(
        client,
        media,
        function,
        match_labels(function, labels, wanted),
        wanted,
        batches=batches,
        caches=caches_of(open_storage(), media, function, wanted),
    )
    with run:
        _detect(run, batches)
    return plan


def _detect(run: AnnotationRun, batches: tuple[Batch, ...]) -> None:
    """Fetch and detect, a bounded number of batches in flight.

    A frame that fails is left to the asking run, which tries it again and reports it.
    """
    in_flight: deque[tuple[Batch, PrefectFuture[Any]]] = deque()
    before: list[PrefectFuture[Any]] = []
    try:
        for batch in batches:
            if len(in_flight) >= BATCHES_IN_FLIGHT:
                _finish(run, *in_flight.popleft())
            fetched = fetch_frames.submit(run, batch, return_state=False)
            step = read_cached if run.source.is_cached(batch) else detect
            detected = step.submit(run, batch, wait_for=[fetched, *before], return_state=False)
            in_flight.append((batch, detected))
            before = [detected]
        while in_flight:
            _finish(run, *in_flight.popleft())
    finally:
        for batch, future in in_flight:
            future.wait()
            run.discard(batch)


def _finish(run: AnnotationRun, batch: Batch, detected: PrefectFuture[Any]) -> None:
    try:
        detected.wait()
        detected.result()
    finally:
        run.discard(batch)


def _check(function: LoadedFunction, parameters: DetectJobsParameters) -> None:
    if function.fingerprint != parameters.fingerprint:
        raise OtherFunction(
            f"the function {function.title!r} of this worker is not the one of the run that asked "
            "for help: have the same code, weights and library versions on all workers"
        )
