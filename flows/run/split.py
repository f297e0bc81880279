"""Have other workers detect on the later jobs of a CVAT task while this run begins with the first.

The run goes through all frames as it always does, from front to back, and it alone uploads. The
others (flows.detect_jobs) go through the jobs they were given from back to front and leave their
detections in the cache. So the result is that of one run, a helper that dies costs nothing, and a
helper that never starts keeps nobody waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import groupby
from typing import Any
from uuid import UUID

from attrs import field, frozen
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Cancelling

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Batch
from cvat_flows.tasks.reports.run_report import RunReport

DEPLOYMENT = "detect-jobs/detect-jobs"
LONGEST_OPTION = 250_000
"""Characters of the option `frames`."""
_NOT_STARTED = {StateType.SCHEDULED, StateType.PENDING}


class CannotSplit(CvatFlowsError):
    """A task cannot be split as it was asked to be."""


@frozen(kw_only=True)
class Part:
    """Jobs whose frames one flow run detects on."""

    jobs: tuple[int, ...]
    frames: tuple[int, ...] = field(repr=False)


@contextmanager
def helpers(
    plan: Plan, function: LoadedFunction, parameters: AnnotateTaskParameters, report: RunReport
) -> Iterator[None]:
    """Ask for flow runs that detect on parts of the plan, if the parameters say so.

    On the way out those that have not begun are cancelled, and all of them if the run was
    stopped. Raises CannotSplit.
    """
    if parameters.split is None:
        yield
        return
    _check(function, parameters)
    parts = split_plan(plan, parameters.split_runs + 1)[1:]
    runs: list[FlowRun] = []
    done = False
    try:
        for part in parts:
            runs.append(_ask(part, function, parameters))
        get_run_logger().info("%s flow runs detect on later jobs", len(runs))
        yield
        done = True
    finally:
        with suppress(Exception):  # what is left of them finds everything in the cache
            _call_off(runs, running=not done or report.stopped is not None)


def split_plan(plan: Plan, count: int) -> list[Part]:
    """Cut a plan between jobs into at most `count` parts with about as many frames each."""
    jobs = [
        (job_id, [frame.number for batch in group for frame in batch.frames])
        for job_id, group in groupby(plan.batches, key=_job_of)
    ]
    total = sum(len(frames) for _, frames in jobs)
    groups: dict[int, list[tuple[int, list[int]]]] = {}
    before = 0
    for job_id, frames in jobs:
        # A job belongs where its middle lies.
        place = int((before + len(frames) / 2) * count / total)
        groups.setdefault(place, []).append((job_id, frames))
        before += len(frames)
    return [
        Part(
            jobs=tuple(dict.fromkeys(job_id for job_id, _ in group)),
            frames=tuple(number for _, frames in group for number in frames),
        )
        for group in groups.values()
    ]


def as_ranges(numbers: Sequence[int]) -> str:
    """Frame numbers as the option `frames` takes them: "0-20,30"."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


def as_option(numbers: Sequence[int]) -> str:
    """The frames for a helper's parameters, of which Prefect takes 512 KiB: all from the first to
    the last if the ranges are too many. Those in between are detected in vain, or known."""
    text = as_ranges(numbers)
    return text if len(text) <= LONGEST_OPTION else f"{min(numbers)}-{max(numbers)}"


def _job_of(batch: Batch) -> int:
    return batch.job_id


def _check(function: LoadedFunction, parameters: AnnotateTaskParameters) -> None:
    if function.reference is None or function.fingerprint is None:
        raise CannotSplit(
            f"split={parameters.split!r} needs a function that other workers can load by its "
            f"module or file; {function.title!r} is a live object"
        )
    if not parameters.use_cache:
        raise CannotSplit(
            f"split={parameters.split!r} needs the cache of detections: leave use_cache on"
        )


def _ask(part: Part, function: LoadedFunction, parameters: AnnotateTaskParameters) -> FlowRun:
    task = parameters.model_copy(
        update={
            "split": None,
            "jobs": list(part.jobs),
            "frames": as_option(part.frames),
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
            # PostgreSQL has an index on the key, which takes no text of hundreds of jobs.
            idempotency_key=f"{flow_run.id} {sha256(jobs.encode()).hexdigest()[:16]}",
        )
    except ObjectNotFound as error:
        raise CannotSplit(
            f"split={parameters.split!r} needs the deployment {DEPLOYMENT!r}: make it with "
            "`cvat-flows setup`, or leave split empty"
        ) from error
    assert isinstance(run, FlowRun)
    return run


def _call_off(runs: Sequence[FlowRun], *, running: bool) -> None:
    with get_client(sync_client=True) as client:
        for one in runs:
            state = client.read_flow_run(UUID(str(one.id))).state
            if state is None or state.is_final():
                continue
            if state.type in _NOT_STARTED:
                message = "The run that it was to help has done its part, too."
                client.set_flow_run_state(one.id, Cancelled(message=message))
            elif running:
                client.set_flow_run_state(one.id, Cancelling())
