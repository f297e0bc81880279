"""The steps as Prefect tasks: retries, tags and names; what a step does is in its own module.

What can pass (no answer, 429, 5xx) is tried again; what cannot (a wrong label, no permission) is
not. Nothing is cached by Prefect: labels change, and detections are cached a frame at a time,
whatever batch the frame comes in (tasks.detect.cache).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
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
from cvat_flows.tasks.matching.match import SpecMatch
from cvat_flows.tasks.matching.match import match_spec as match
from cvat_flows.tasks.model.errors import FrameFailed
from cvat_flows.tasks.model.frames import Batch, Failure, Frame, Outcome
from cvat_flows.tasks.model.labels import Label, labels_of_spec
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import on_one_line
from cvat_flows.tasks.reports.artifacts import show_failed_frame
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.upload.job import upload_job
from cvat_flows.tasks.upload.manifest import Manifest
from cvat_flows.tasks.upload.result import UploadOptions, UploadReport

GPU = "gpu"
"""Tag of the runs that use the model: a Prefect limit on it keeps them to the GPUs there are."""
GPU_TAG = os.environ.get("CVAT_FLOWS_GPU_TAG") or GPU
"""A limit counts for the whole server. Where several machines have GPUs, each worker's variable
names a tag of its own (`gpu:north`), so that each machine's runs wait for its own GPUs alone."""

BACK_OFF = [1.0, 5.0, 20.0]
FRAME_BACK_OFF = [0.2, 1.0]
"""Seconds. Short: a run tagged `gpu` keeps its slot through them."""


def _is_transient(task: Any, task_run: Any, state: State[Any]) -> bool:
    """Return whether another attempt can help."""
    return isinstance(state.result(raise_on_failure=False), CvatUnavailable)


_network: dict[str, Any] = {
    "retries": len(BACK_OFF),
    "retry_delay_seconds": BACK_OFF,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _is_transient,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
_local: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@task(name="fetch-media", task_run_name="fetch frames and jobs of task {task_id}", **_network)
def fetch_media(client: Client, task_id: int) -> TaskMedia:
    """Read the task's frames and jobs."""
    return read_media(client, task_id)


@task(name="fetch-labels", task_run_name="fetch labels of task {task_id}", **_network)
def fetch_labels(client: Client, task_id: int) -> tuple[Label, ...]:
    """Read the task's labels."""
    return read_labels(client, task_id)


@task(name="match-spec", task_run_name="match labels of {function.title}", **_local)
def match_spec(
    function: LoadedFunction,
    labels: Sequence[Label],
    thresholds: Mapping[str, float],
    options: dict[str, Any],
) -> SpecMatch:
    """Match the function's labels with the task's; check what the options say of labels."""
    declared = labels_of_spec(function.function.spec)
    check_thresholds(thresholds, declared)
    return match(declared, labels, **options)


@task(name="plan-frames", task_run_name="plan frames of task {media.task_id}", **_local)
def plan_frames(media: TaskMedia, options: dict[str, Any]) -> Plan:
    """Decide which frames are annotated, in which batches."""
    return plan(media, **options)


@task(name="fetch-frames", task_run_name="fetch {batch}", **_network)
def fetch_frames(run: AnnotationRun, batch: Batch) -> None:
    """Download and decode a batch's images."""
    run.fetch(batch)


@task(name="detect", task_run_name="detect {batch}", tags=[GPU_TAG], **_local)
def detect(run: AnnotationRun, batch: Batch) -> State[Any] | None:
    """Run the function over a batch's images. Ends Cancelled if the run ends before its turn."""
    context = TaskRunContext.get()
    if context is not None:
        context.task_run.tags = sorted({*context.task_run.tags, GPU_TAG})
    try:
        run.detect(batch)
    except TurnCancelled as lost:
        return Cancelled(message=str(lost))
    return None


# A run that starts with a tag asks the server for a slot, even if the tag has no limit: two
# requests, and seconds where SQLite is busy. This run gets its tag after it has started.
detect_unlimited = detect.with_options(tags=[])
"""`detect` for a server that has no limit on the tag."""


# No tag: this run does not use a GPU, and waiting for a slot takes up to 1.5 s.
@task(name="recall", task_run_name="recall {batch}", **_local)
def recall(run: AnnotationRun, batch: Batch) -> None:
    """Take a batch's detections from the cache, all of them."""
    run.detect(batch)


@task(name="validate", task_run_name="validate {batch}", **_local)
def validate(run: AnnotationRun, batch: Batch) -> None:
    """Check what the function returned."""
    run.validate(batch)


@task(name="remap", task_run_name="remap {batch}", **_local)
def remap(run: AnnotationRun, batch: Batch) -> None:
    """Put the CVAT task's ids in place of the function's."""
    run.remap(batch)


def _frame_may_recover(task: Any, task_run: Any, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    if isinstance(error, FrameFailed):
        return _may_recover(error.failure)
    return not isinstance(error, FunctionHangs)


def _may_recover(failure: Failure) -> bool:
    """Whether a frame is worth another attempt: a model may, a wrong annotation will not."""
    return failure.step == "detect" and not failure.final


@task(
    name="frame",
    task_run_name="{failure.step} {frame}",
    retries=len(FRAME_BACK_OFF),
    retry_delay_seconds=FRAME_BACK_OFF,
    retry_condition_fn=_frame_may_recover,
    tags=[GPU_TAG],
    **_local,
)
def redo_frame(
    run: AnnotationRun, frame: Frame, failure: Failure, keep: Callable[[Outcome], None]
) -> State[Any] | None:
    """Try a failed frame once more on its own; the run of this task is where its failure shows.

    `keep` is handed the outcome of each attempt. Ends Failed, with the frame's error as its
    message and its page as an artifact, if the frame still fails.
    """
    outcome = run.redo(frame)
    keep(outcome)
    if outcome.failure is None:
        return None
    context = TaskRunContext.get()
    last = context is None or context.task_run.run_count > len(FRAME_BACK_OFF)
    if run.pictures and (last or not _may_recover(outcome.failure)):
        show_failed_frame(run.pictures, outcome)
    return _failed(outcome.frame, outcome.failure)


@task(name="upload", task_run_name="upload job {job_id}", **_network)
def upload(
    run: AnnotationRun, manifest: Manifest, job_id: int, options: UploadOptions
) -> UploadReport:
    """Put a job's annotations into CVAT, each exactly once however often this runs."""
    with run.seconds.of("upload"):
        return upload_job(
            run.client,
            task_id=run.media.task_id,
            job_id=job_id,
            outcomes=run.spool.of_job(job_id),
            manifest=manifest,
            options=options,
        )


@task(name="frame", task_run_name="{failure.step} {outcome.frame}", **_local)
def show_failure(run: AnnotationRun, outcome: Outcome, failure: Failure) -> State[Any]:
    """Show a frame that gets no other attempt as a failed run of its own."""
    if run.pictures:
        show_failed_frame(run.pictures, outcome)
    return _failed(outcome.frame, failure)


def _failed(frame: Frame, failure: Failure) -> State[Any]:
    message = on_one_line(failure.error)
    if str(frame) not in message:
        message = f"{frame}: {message}"
    return Failed(message=message, data=FrameFailed(frame, failure))
