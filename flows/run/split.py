"""Let other workers detect on the later jobs of a CVAT task while the main run starts in front.

The main run processes all frames from first to last as always, and only it uploads. Each helper run
(flows.detect_jobs) processes its jobs from last to first and writes detections to the cache. The
result is the same as without helpers. A helper that crashes or never starts does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
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
from cvat_flows.flows.run.context import RunContext
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.reports.run_report import RunReport

DEPLOYMENT = "detect-jobs/detect-jobs"
MAX_FRAMES_LENGTH = 250_000
"""Maximum length of the option `frames`: Prefect accepts 512 KiB of parameters."""
_NOT_STARTED = {StateType.SCHEDULED, StateType.PENDING}


class CannotSplit(CvatFlowsError):
    """The option `split` cannot be used here."""


@frozen(kw_only=True)
class Part:
    """The jobs and frames for one flow run."""

    jobs: tuple[int, ...]
    frames: tuple[int, ...] = field(repr=False)


@contextmanager
def split_detection(context: RunContext, plan: Plan, report: RunReport) -> Iterator[None]:
    """Start helper runs for parts of the plan if the parameters say so. Raises CannotSplit.

    On exit, cancel the helpers that have not started, or all of them if the main run stopped.
    """
    function, parameters = context.function, context.parameters
    if parameters.split is None:
        yield
        return
    _check_splittable(function, parameters)
    parts = split_plan(plan, parameters.split_runs + 1)[1:]
    runs: list[FlowRun] = []
    done = False
    try:
        for part in parts:
            runs.append(_start_helper(part, function, parameters))
        get_run_logger().info("started %s to detect on later jobs", counted(len(runs), "flow run"))
        yield
        done = True
    finally:
        with suppress(Exception):  # A helper that goes on does no harm.
            _cancel_helpers(runs, running=not done or report.stopped is not None)


def split_plan(plan: Plan, count: int) -> list[Part]:
    """Divide a plan into at most `count` parts of whole jobs with about equal numbers of frames."""
    jobs = [
        (job_id, [frame.number for batch in group for frame in batch.frames])
        for job_id, group in groupby(plan.batches, key=attrgetter("job_id"))
    ]
    total = sum(len(frames) for _, frames in jobs)
    groups: dict[int, list[tuple[int, list[int]]]] = {}
    before = 0
    for job_id, frames in jobs:
        # The middle of the job decides which part it belongs to.
        index = int((before + len(frames) / 2) * count / total)
        groups.setdefault(index, []).append((job_id, frames))
        before += len(frames)
    return [
        Part(
            jobs=tuple(dict.fromkeys(job_id for job_id, _ in group)),
            frames=tuple(number for _, frames in group for number in frames),
        )
        for group in groups.values()
    ]


def as_ranges(numbers: Sequence[int]) -> str:
    """Format frame numbers for the option `frames`: "0-20,30"."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


def frames_option(numbers: Sequence[int]) -> str:
    """Format frame numbers for a helper's parameters.

    If the text is too long, return one range from the first to the last frame. The helper then also
    detects on frames that nobody needs.
    """
    text = as_ranges(numbers)
    return text if len(text) <= MAX_FRAMES_LENGTH else f"{min(numbers)}-{max(numbers)}"


def _check_splittable(function: LoadedFunction, parameters: AnnotateTaskParameters) -> None:
    if function.reference is None or function.fingerprint is None:
        raise CannotSplit(
            f"--split {parameters.split} needs a function that other workers can load from a "
            f"module or file, but {function.title!r} is a live object"
        )
    if not parameters.use_cache:
        raise CannotSplit(
            f"--split {parameters.split} needs the cache of detections: remove --no-use-cache"
        )
    if parameters.fresh:
        raise CannotSplit(
            f"--split {parameters.split} takes the other workers' detections from the cache, which "
            "--fresh does not read: remove one of them"
        )


def _start_helper(
    part: Part, function: LoadedFunction, parameters: AnnotateTaskParameters
) -> FlowRun:
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


def _cancel_helpers(runs: Sequence[FlowRun], *, running: bool) -> None:
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
