"""The steps as Prefect tasks: names, tags and retries. The logic is in the other modules.

Transient errors (no answer, 429, 5xx) are retried. Permanent ones (a wrong label, no permission)
are not. Prefect caches nothing: labels can change, and detections are cached for each frame,
independent of its batch (tasks.detect.cache).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from cvat_sdk import Client
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.states import Cancelled, Failed

from aa_functions.reference import LoadedFunction
from cvat_flows.tasks.check.remap import check_thresholds
from cvat_flows.tasks.cvat.errors import CvatUnavailable
from cvat_flows.tasks.cvat.labels import fetch_labels as read_labels
from cvat_flows.tasks.cvat.task import fetch_media as read_media
from cvat_flows.tasks.detect.timeout import FunctionHangs
from cvat_flows.tasks.detect.turns import TurnCancelled
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.fetch.plan import plan_frames as plan
from cvat_flows.tasks.matching.mapping import SpecMapping
from cvat_flows.tasks.matching.match import match_spec as match
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.errors import FrameFailed
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.labels import Label, labels_of_spec
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import on_one_line
from cvat_flows.tasks.reports.artifacts import show_failed_frame
from cvat_flows.tasks.run import AnnotationRun, BatchWork
from cvat_flows.tasks.upload.job import upload_job
from cvat_flows.tasks.upload.manifest import Manifest
from cvat_flows.tasks.upload.result import UploadOptions, UploadReport

GPU = "gpu"
"""Tag of the task runs that use the model. A Prefect concurrency limit on it matches the GPUs."""
GPU_TAG = os.environ.get("CVAT_FLOWS_GPU_TAG") or GPU
"""A limit applies to the whole Prefect server. If several machines have GPUs, set this variable of
each worker to a different tag (`gpu:north`), so that each machine waits for its own GPUs only."""

RETRY_DELAYS = [1.0, 5.0, 20.0]
"""Seconds."""
FRAME_RETRY_DELAYS = [0.2, 1.0]
"""Seconds. Short, because a run tagged `gpu` keeps its slot while it waits."""


def _is_transient(task: Any, task_run: Any, state: State[Any]) -> bool:
    """Return whether a retry can help."""
    return isinstance(state.result(raise_on_failure=False), CvatUnavailable)


_NETWORK_STEP: dict[str, Any] = {
    "retries": len(RETRY_DELAYS),
    "retry_delay_seconds": RETRY_DELAYS,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _is_transient,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
_LOCAL_STEP: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@task(name="fetch-media", task_run_name="fetch frames and jobs of task {task_id}", **_NETWORK_STEP)
def fetch_media(client: Client, task_id: int) -> TaskMedia:
    """Read the task's frames and jobs."""
    return read_media(client, task_id)


@task(name="fetch-labels", task_run_name="fetch labels of task {task_id}", **_NETWORK_STEP)
def fetch_labels(client: Client, task_id: int) -> tuple[Label, ...]:
    """Read the task's labels."""
    return read_labels(client, task_id=task_id)


@task(name="match-spec", task_run_name="match labels of {function.title}", **_LOCAL_STEP)
def match_spec(
    function: LoadedFunction,
    labels: Sequence[Label],
    *,
    thresholds: Mapping[str, float],
    allow_unmatched_labels: bool,
    conv_mask_to_poly: bool,
    mapping: SpecMapping | None,
) -> SpecMatch:
    """Match the function's labels with the task's, and check the labels named in thresholds."""
    declared = labels_of_spec(function.function.spec)
    check_thresholds(thresholds, declared)
    return match(
        declared,
        labels,
        allow_unmatched_labels=allow_unmatched_labels,
        conv_mask_to_poly=conv_mask_to_poly,
        mapping=mapping,
    )


@task(name="plan-frames", task_run_name="plan frames of task {media.task_id}", **_LOCAL_STEP)
def plan_frames(
    media: TaskMedia,
    *,
    frames_per_run: int,
    frames: str | None,
    jobs: Collection[int] | None,
    include_ground_truth: bool,
    annotated: Collection[int],
    done: Collection[int],
) -> Plan:
    """Decide which frames to annotate, and in which batches."""
    return plan(
        media,
        frames_per_run=frames_per_run,
        frames=frames,
        jobs=jobs,
        include_ground_truth=include_ground_truth,
        annotated=annotated,
        done=done,
    )


@task(name="fetch-frames", task_run_name="fetch {work}", **_NETWORK_STEP)
def fetch_frames(run: AnnotationRun, work: BatchWork) -> None:
    """Download and decode a batch's images."""
    run.fetch(work)


@task(name="detect", task_run_name="detect {work}", tags=[GPU_TAG], **_LOCAL_STEP)
def detect(run: AnnotationRun, work: BatchWork) -> State[Any] | None:
    """Call the function on a batch's images. Ends Cancelled if the run ends before its turn."""
    context = TaskRunContext.get()
    if context is not None:
        context.task_run.tags = sorted({*context.task_run.tags, GPU_TAG})
    try:
        run.detect(work)
    except TurnCancelled as cancelled:
        return Cancelled(message=str(cancelled))
    return None


# A run that starts with a tag asks the server for a slot, even if the tag has no limit: two
# requests, and seconds where SQLite is busy. This run gets its tag after it has started.
detect_unlimited = detect.with_options(tags=[])
"""`detect` for a server that has no limit on the tag."""


# No tag: this run does not use a GPU, and waiting for a slot takes up to 1.5 s.
@task(name="cached", task_run_name="cached {work}", **_LOCAL_STEP)
def read_cached(run: AnnotationRun, work: BatchWork) -> None:
    """Take all detections of a batch from the cache."""
    run.detect(work)


@task(name="validate", task_run_name="validate {work}", **_LOCAL_STEP)
def validate(run: AnnotationRun, work: BatchWork) -> None:
    """Check what the function returned."""
    run.validate(work)


@task(name="remap", task_run_name="remap {work}", **_LOCAL_STEP)
def remap(run: AnnotationRun, work: BatchWork) -> None:
    """Replace the function's ids by those of the CVAT task."""
    run.remap(work)


def is_worth_retrying(outcome: Outcome) -> bool:
    """Return whether a failed frame may succeed if all steps are repeated for it.

    An invalid result would be the same again, unless it came from the cache.
    """
    failure = outcome.failure
    if failure is None or failure.final:
        return False
    return failure.step in ("fetch", "detect") or outcome.cached


def _should_retry_frame(task: Any, task_run: Any, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    if isinstance(error, FrameFailed):
        return _is_retryable(error.failure)
    return not isinstance(error, FunctionHangs)


def _is_retryable(failure: Failure) -> bool:
    """Return whether a retry can help. It can if the function raised, not if its output is bad."""
    return failure.step == "detect" and not failure.final


@task(
    name="frame",
    task_run_name="{failure.step} {frame}",
    retries=len(FRAME_RETRY_DELAYS),
    retry_delay_seconds=FRAME_RETRY_DELAYS,
    retry_condition_fn=_should_retry_frame,
    tags=[GPU_TAG],
    **_LOCAL_STEP,
)
def retry_frame(
    run: AnnotationRun, frame: Frame, failure: Failure, keep: Callable[[Outcome], None]
) -> State[Any] | None:
    """Try a failed frame again on its own.

    `keep` receives the outcome of each attempt. If the frame still fails, the task run ends Failed,
    with the frame's error as its message and a page about the frame as its artifact.
    """
    outcome = run.retry(frame)
    keep(outcome)
    if outcome.failure is None:
        return None
    context = TaskRunContext.get()
    is_last = context is None or context.task_run.run_count > len(FRAME_RETRY_DELAYS)
    if run.pictures and (is_last or not _is_retryable(outcome.failure)):
        show_failed_frame(run.pictures, outcome)
    return _failed(outcome.frame, outcome.failure)


@task(name="upload", task_run_name="upload job {job_id}", **_NETWORK_STEP)
def upload(
    run: AnnotationRun, manifest: Manifest, job_id: int, options: UploadOptions
) -> UploadReport:
    """Upload a job's annotations. Each is uploaded exactly once, however often this runs."""
    with run.timer.measure("upload"):
        return upload_job(
            run.client,
            task_id=run.media.task_id,
            job_id=job_id,
            outcomes=run.spool.of_job(job_id),
            manifest=manifest,
            options=options,
        )


@task(name="frame", task_run_name="{failure.step} {outcome.frame}", **_LOCAL_STEP)
def show_failure(run: AnnotationRun, outcome: Outcome, failure: Failure) -> State[Any]:
    """Show a frame that is not retried as a failed task run."""
    if run.pictures:
        show_failed_frame(run.pictures, outcome)
    return _failed(outcome.frame, failure)


def _failed(frame: Frame, failure: Failure) -> State[Any]:
    message = on_one_line(failure.error)
    if str(frame) not in message:
        message = f"{frame}: {message}"
    return Failed(message=message, data=FrameFailed(frame, failure))
