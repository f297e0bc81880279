"""The flow `detect-jobs`: detect on some jobs of a CVAT task for a run that annotates the task.

It writes its detections to the cache and nothing to CVAT; see flows.run.split.
"""

# No `from __future__ import annotations` in a module with a flow: see flows.annotate.

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
from cvat_flows.flows.run.prepare import make_caches, make_plan, make_run, match_labels
from cvat_flows.tasks.cvat.server_block import find_settings
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Batch
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.steps import (
    detect,
    fetch_frames,
    fetch_labels,
    fetch_media,
    read_cached,
)
from cvat_flows.tasks.storage import open_storage

_RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=4 * BATCHES_IN_FLIGHT)


class FunctionDiffers(CvatFlowsError):
    """This worker's function is not the one that the main run uses."""


class DetectJobsParameters(BaseModel):
    """Filled in by the main run, which annotates the task."""

    model_config = ConfigDict(extra="forbid")

    task: AnnotateTaskParameters = Field(
        description="Options of the main run, with the jobs and frames of this run"
    )
    fingerprint: str = Field(description="Fingerprint of the main run's function")


@flow(name="detect-jobs", task_runner=_RUNNER, persist_result=False)
def detect_jobs_flow(parameters: DetectJobsParameters) -> State[Any]:
    """Detect on some jobs of a CVAT task that a main run annotates with split='jobs'."""
    filter_engine_log()
    try:
        plan = detect_jobs(parameters)
    except (CvatFlowsError, FunctionReferenceError) as error:
        return Failed(message=str(error), data=error)
    return Completed(message=f"processed {counted(plan.frame_count, 'frame')}")


def detect_jobs(parameters: DetectJobsParameters) -> Plan:
    """Run the steps up to detection, from the last frame to the first.

    The main run comes from the other end.
    """
    wanted = parameters.task
    client = connect_for_run(find_settings(wanted.server))
    media = fetch_media(client, wanted.task_id)
    function = load_function(wanted.reference)
    _check_fingerprint(function, parameters)
    labels = fetch_labels(client, wanted.task_id)
    plan = make_plan(media, wanted)
    batches = plan.batches[::-1]
    run = make_run(
        client,
        media,
        function,
        match_labels(function, labels, wanted),
        wanted,
        batches=batches,
        caches=make_caches(open_storage(), media, function, wanted),
    )
    with run:
        _detect(run, batches)
    return plan


def _detect(run: AnnotationRun, batches: tuple[Batch, ...]) -> None:
    """Fetch and detect, several batches at a time.

    Failed frames are left to the main run, which retries and reports them.
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


def _check_fingerprint(function: LoadedFunction, parameters: DetectJobsParameters) -> None:
    if function.fingerprint != parameters.fingerprint:
        raise FunctionDiffers(
            f"the function {function.title!r} of this worker differs from the main run's: install "
            "the same code, weights and library versions on all workers"
        )
