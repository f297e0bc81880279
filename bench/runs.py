"""One run of each kind, timed: the SDK's driver, the flow, and the flow's steps without Prefect."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import cvat_sdk.auto_annotation as cvataa
from attrs import frozen

from aa_functions.reference import FunctionReference, load_function
from bench.stage import Stage
from flows.annotate import run_here
from flows.live import LiveInputs
from flows.parameters import AnnotateTaskParameters
from tasks.annotation_run import AnnotationRun
from tasks.fetch_frames import FrameSource
from tasks.fetch_labels import fetch_labels
from tasks.labels import labels_of_spec
from tasks.manifest import Manifest
from tasks.manifest_file import RunStamp
from tasks.match_spec import match_spec
from tasks.media import fetch_media
from tasks.plan_frames import plan_frames
from tasks.remap import RemapOptions
from tasks.run_function import FunctionRunner
from tasks.storage import open_storage
from tasks.upload import upload_job
from tasks.upload_report import UploadOptions
from tasks.validate import ValidationOptions


@frozen(kw_only=True)
class Function:
    """A function by reference, as a user names it."""

    module: str
    parameters: dict[str, Any]

    def load(self) -> Any:
        reference = FunctionReference(module=self.module, parameters=self.parameters)
        return load_function(reference)


CONSTANT = Function(module="bench.constant_box", parameters={})


def sdk_run(stage: Stage, task_id: int, function: Any) -> float:
    """Seconds that the SDK's `annotate_task` takes with an empty cache."""
    client = stage.client()
    begin = time.perf_counter()
    cvataa.annotate_task(client, task_id, function, allow_unmatched_labels=True)
    return time.perf_counter() - begin


def flow_run(stage: Stage, task_id: int, function: Any, **options: Any) -> float:
    """Seconds that the flow takes, from its call to its final state."""
    client = stage.client()
    parameters = AnnotateTaskParameters(
        task_id=task_id, function="bench", allow_unmatched_labels=True, **options
    )
    begin = time.perf_counter()
    finished = run_here(parameters, LiveInputs(client=client, function=function))
    seconds = time.perf_counter() - begin
    if finished.error is not None:
        raise finished.error
    return seconds


def plain_run(stage: Stage, task_id: int, function: Any) -> float:
    """Seconds that the flow's steps take one after the other, without Prefect."""
    client = stage.client()
    begin = time.perf_counter()
    media = fetch_media(client, task_id)
    plan = plan_frames(media)
    manifest = Manifest(
        open_storage(),
        server=media.host,
        task_id=task_id,
        function="bench",
        run=RunStamp(id="", name="", fingerprint="", parameters="", started=""),
    )
    run = AnnotationRun(
        client=client,
        media=media,
        match=match_spec(
            labels_of_spec(function.function.spec),
            fetch_labels(client, task_id),
            allow_unmatched_labels=True,
        ),
        source=FrameSource(client, media, plan.batches),
        cache=None,
        validation=ValidationOptions(task_size=media.size),
        remapping=RemapOptions(),
        runner=FunctionRunner(function.function),
    )
    with run:
        for batch in plan.batches:
            run.fetch(batch)
            run.detect(batch)
            run.validate(batch)
            run.remap(batch)
            run.spool.write(batch, run.take(batch))
        for job in media.jobs:
            upload_job(
                client,
                task_id=task_id,
                job_id=job.id,
                outcomes=run.spool.of_job(job.id),
                manifest=manifest,
                options=UploadOptions(),
            )
    return time.perf_counter() - begin


def alternate(rounds: int, *kinds: Callable[[], float]) -> list[list[float]]:
    """Run each kind once a round, so that what else goes on in the machine hits all alike."""
    seconds: list[list[float]] = [[] for _ in kinds]
    for _ in range(rounds):
        for kind, measured in zip(kinds, seconds, strict=True):
            measured.append(kind())
    return seconds


def median(seconds: list[float]) -> float:
    """The middle one."""
    return statistics.median(seconds)
