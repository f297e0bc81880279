"""The steps of a run: names, tags and retries. The logic is in the other modules.

With a Prefect server each step is a Prefect task; without one it runs in a thread (tasks.engine).
Transient errors (no answer, 429, 5xx) are retried. Permanent ones (a wrong label, no permission)
are not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from cvat_sdk import Client

from aa_functions.reference import LoadedFunction
from cvat_flows.tasks.check.remap import check_thresholds
from cvat_flows.tasks.cvat.access import read_labels, read_media
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.detect.timeout import FunctionHangs
from cvat_flows.tasks.engine.current import current_engine
from cvat_flows.tasks.engine.definition import Ending
from cvat_flows.tasks.engine.step import step
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.fetch.plan import plan_frames as plan
from cvat_flows.tasks.matching.mapping import SpecMapping
from cvat_flows.tasks.matching.match import match_spec as match
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.errors import FrameFailed
from cvat_flows.tasks.model.frames import Failure, Frame, Outcome
from cvat_flows.tasks.model.labels import Label, labels_of_spec
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.record.manifest import Manifest
from cvat_flows.tasks.reports.artifacts import show_failed_frame
from cvat_flows.tasks.run import AnnotationRun, BatchWork
from cvat_flows.tasks.upload.frames.result import UploadOptions, UploadReport
from cvat_flows.tasks.upload.job import upload_job

GPU = "gpu"
"""Tag of the steps that use the model. A Prefect concurrency limit on it matches the GPUs."""
GPU_TAG = os.environ.get("CVAT_FLOWS_GPU_TAG") or GPU
"""A limit applies to the whole Prefect server. If several machines have GPUs, set this variable of
each worker to a different tag (`gpu:north`), so that each machine waits for its own GPUs only."""

RETRY_DELAYS = [1.0, 5.0, 20.0]
"""Seconds."""
FRAME_RETRY_DELAYS = [0.2, 1.0]
"""Seconds. Short, because a run tagged `gpu` keeps its slot while it waits."""


def _is_transient(error: BaseException) -> bool:
    """Return whether a retry can help."""
    return isinstance(error, CvatUnavailable)


_NETWORK_STEP: dict[str, Any] = {
    "retry_delays": RETRY_DELAYS,
    "jitter": 0.5,
    "should_retry": _is_transient,
}


@step(name="fetch-media", run_name="fetch frames and jobs of task {task_id}", **_NETWORK_STEP)
def fetch_media(client: Client, task_id: int, jobs: Collection[int] | None) -> TaskMedia:
    """Read the task's frames and jobs; see `tasks.cvat.access`."""
    return read_media(client, task_id, jobs)


@step(name="fetch-labels", run_name="fetch labels of task {media.task_id}", **_NETWORK_STEP)
def fetch_labels(client: Client, media: TaskMedia) -> tuple[Label, ...]:
    """Read the task's labels."""
    return read_labels(client, media)


@step(name="match-spec", run_name="match labels of {function.title}")
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


@step(name="plan-frames", run_name="plan frames of task {media.task_id}")
def plan_frames(
    media: TaskMedia,
    *,
    frames_per_run: int,
    frames: str | None,
    jobs: Collection[int] | None,
    include_ground_truth: bool,
    annotated: Collection[int],
    done: Collection[int],
    set_aside: Collection[int],
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
        set_aside=set_aside,
    )


@step(name="fetch-frames", run_name="fetch {work}", **_NETWORK_STEP)
def fetch_frames(run: AnnotationRun, work: BatchWork) -> None:
    """Download and decode a batch's images."""
    run.fetch(work)


def _detect(run: AnnotationRun, work: BatchWork) -> Ending | None:
    """Call the function on a batch's images. Raises TurnCancelled if the run ends before.

    Says how many frames came from the cache. If all did, the state is called as Prefect calls it.
    """
    run.detect(work)
    cached, total = sum(outcome.cached for outcome in work.outcomes), len(work.outcomes)
    if not cached:
        return None
    message = f"{cached:,} of {counted(total, 'frame')} from the cache"
    return Ending(message=message, state="Cached" if cached == total else "")


detect = step(name="detect", run_name="detect {work}", tag=GPU_TAG)(_detect)
detect_without_gpu = step(name="detect", run_name="detect {work}")(_detect)
"""For a batch whose detections are all in the cache. Waiting for a GPU's slot takes up to 1.5 s."""


@step(name="validate", run_name="validate {work}")
def validate(run: AnnotationRun, work: BatchWork) -> None:
    """Check what the function returned."""
    run.validate(work)


@step(name="remap", run_name="remap {work}")
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


def _should_retry_frame(error: BaseException) -> bool:
    if isinstance(error, FrameFailed):
        return _is_retryable(error.failure)
    return not isinstance(error, FunctionHangs)


def _is_retryable(failure: Failure) -> bool:
    """Return whether a retry can help. It can if the function raised, not if its output is bad."""
    return failure.step == "detect" and not failure.final


@step(
    name="frame",
    run_name="{failure.step} {frame}",
    retry_delays=FRAME_RETRY_DELAYS,
    should_retry=_should_retry_frame,
    tag=GPU_TAG,
)
def retry_frame(
    run: AnnotationRun, frame: Frame, failure: Failure, keep: Callable[[Outcome], None]
) -> None:
    """Try a failed frame again on its own.

    `keep` receives the outcome of each attempt. If the frame still fails, a page about it is
    written, and FrameFailed makes the run of this step a failed one.
    """
    outcome = run.retry(frame)
    keep(outcome)
    if outcome.failure is None:
        return
    is_last = current_engine().is_last_attempt()
    if run.pictures and (is_last or not _is_retryable(outcome.failure)):
        show_failed_frame(run.pictures, outcome)
    raise FrameFailed(outcome.frame, outcome.failure)


@step(name="upload", run_name="upload job {job_id}", **_NETWORK_STEP)
def upload(
    run: AnnotationRun,
    manifest: Manifest,
    job_id: int,
    options: UploadOptions,
    frames: Collection[int] | None = None,
) -> UploadReport:
    """Upload a job's annotations, or those of some frames.

    Each is uploaded exactly once, however often this runs.
    """
    outcomes = run.spool.of_job(job_id)
    with run.timer.measure("upload"):
        return upload_job(
            run.client,
            task_id=run.media.task_id,
            job_id=job_id,
            outcomes=(o for o in outcomes if frames is None or o.frame.number in frames),
            manifest=manifest,
            options=options,
        )


@step(name="frame", run_name="{failure.step} {outcome.frame}")
def show_failure(run: AnnotationRun, outcome: Outcome, failure: Failure) -> None:
    """Show a frame that is not tried again: a page about it, and FrameFailed."""
    if run.pictures:
        show_failed_frame(run.pictures, outcome)
    raise FrameFailed(outcome.frame, failure)
