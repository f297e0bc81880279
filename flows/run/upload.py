"""Upload a run's outcomes, a job at a time, and keep the record of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import evolve, frozen
from cvat_sdk import Client
from prefect.runtime import flow_run

from aa_functions.reference import LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.prepare import caches_of
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.detect.cache import DetectionCache
from cvat_flows.tasks.detect.content_index import ContentIndex
from cvat_flows.tasks.fetch.plan import ANNOTATED, DONE, Plan
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.reports.failed_frames import MAX_SHOWN
from cvat_flows.tasks.reports.run_report import RunReport
from cvat_flows.tasks.run import AnnotationRun
from cvat_flows.tasks.steps import show_failure, upload
from cvat_flows.tasks.storage import Storage, open_storage
from cvat_flows.tasks.upload.lease import Lease, task_lease
from cvat_flows.tasks.upload.manifest import Manifest
from cvat_flows.tasks.upload.manifest_file import RunStamp
from cvat_flows.tasks.upload.manifest_summary import write_summary
from cvat_flows.tasks.upload.result import UploadOptions

_CHANGE_NO_RESULT = {
    "task_id",
    "function",
    "function_parameters",
    "server",
    "existing",
    "clear_existing",
    "frames",
    "jobs",
    "only_unannotated",
    "renew",
    "include_ground_truth",
    "max_failed_frames",
    "frames_per_run",
    "detect_timeout",
    "use_cache",
    "dry_run",
    "split",
    "split_runs",
    "wait_for_writer",
}
"""Parameters that do not change what is annotated on a frame; the function's own are in its
fingerprint."""

_OURS = {"annotated", "pending"}


@frozen(kw_only=True)
class RunRecord:
    """What a run knows of earlier ones, and where it keeps what it does itself."""

    client: Client
    media: TaskMedia
    function: LoadedFunction
    parameters: AnnotateTaskParameters
    storage: Storage
    manifest: Manifest
    lease: Lease | None
    """None in a dry run, which writes nothing."""

    def annotated_frames(self) -> frozenset[int]:
        """Frames that hold a tag or a shape, if only the others are wanted."""
        if not self.parameters.only_unannotated:
            return frozenset()
        wanted = self.parameters.jobs
        found = frozenset(
            item["frame"]
            for job_id in self.media.all_job_ids
            if wanted is None or job_id in wanted
            for _, item in JobAnnotations(client=self.client, job_id=job_id).read()
        )
        if not self.parameters.renew:
            return found
        return frozenset(number for number in found if not self._is_ours(number))

    def _is_ours(self, number: int) -> bool:
        """Whether this function, in any version, has annotated the frame or begun to."""
        jobs = self.media.frame(number, jobs=self.parameters.jobs).job_ids
        records = (self.manifest.record(job_id, number) for job_id in jobs)
        return any(known is not None and known.state in _OURS for known in records)

    def done_frames(self) -> frozenset[int]:
        """Frames that this function, as it is now, has annotated with these options.

        When everything else is to be cleared they have to be looked at all the same.
        """
        if self.function.fingerprint is None or self.parameters.existing == "clear":
            return frozenset()
        frames = (
            self.media.frame(number, jobs=self.parameters.jobs) for number in range(self.media.size)
        )
        return frozenset(frame.number for frame in frames if self.manifest.is_done(frame))

    def caches(self) -> tuple[DetectionCache | None, ContentIndex | None]:
        """The cache of detections and the index of images; none for a function whose results
        cannot be told from those of another."""
        return caches_of(self.storage, self.media, self.function, self.parameters)


@contextmanager
def open_record(
    client: Client,
    media: TaskMedia,
    function: LoadedFunction,
    labels: tuple[Label, ...],
    parameters: AnnotateTaskParameters,
) -> Iterator[RunRecord]:
    """Open the manifest and become the one writer of the CVAT task.

    Raises TaskIsBusy if another run stays the writer for longer than is waited.
    """
    storage = open_storage()
    stamp = RunStamp(
        id=str(flow_run.id or ""),
        name=str(flow_run.name or ""),
        fingerprint=function.fingerprint or "",
        parameters=result_digest(parameters, labels),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    manifest = Manifest(
        storage,
        server=media.host,
        task_id=media.task_id,
        function=function_name(function),
        run=stamp,
    )
    record = RunRecord(
        client=client,
        media=media,
        function=function,
        parameters=parameters,
        storage=storage,
        manifest=manifest,
        lease=None,
    )
    if parameters.dry_run:
        yield record
        return
    with task_lease(
        storage,
        server=media.host,
        task_id=media.task_id,
        run=stamp,
        wait=parameters.wait_for_writer,
        writes_later=True,
    ) as lease:
        yield evolve(record, lease=lease)


def function_name(function: LoadedFunction) -> str:
    """What the manifests of a function go by: the same for all its versions and parameters."""
    reference = function.reference
    if reference is None:
        return function.title
    return reference.module or (reference.file.name if reference.file else function.title)


def result_digest(parameters: AnnotateTaskParameters, labels: tuple[Label, ...]) -> str:
    """Digest of what, beside the function and the image, decides a frame's annotations.

    It begins with `options_digest`: a sweep compares that alone, so that it need not ask CVAT for
    the labels of every task.
    """
    return options_digest(parameters) + hashlib.sha256(repr(labels).encode()).hexdigest()[:16]


def options_digest(parameters: AnnotateTaskParameters) -> str:
    """Digest of the options that decide a frame's annotations."""
    options = parameters.model_dump(mode="json", exclude=_CHANGE_NO_RESULT)
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]


def upload_all(run: AnnotationRun, plan: Plan, record: RunRecord, report: RunReport) -> None:
    """Upload what is in the spool, job by job; a frame that CVAT rejects becomes a failed one."""
    parameters = record.parameters
    options = UploadOptions(
        existing=parameters.existing,
        dry_run=parameters.dry_run,
        ground_truth=parameters.include_ground_truth,
        labels=report.labels,
    )
    if record.lease is not None:
        record.lease.begin_writing()
        options = evolve(options, check=record.lease.check)
    jobs = dict.fromkeys(job for frame in plan.frames for job in frame.job_ids)
    for job_id in jobs:
        done = upload(run, record.manifest, job_id, options)
        report.add(done.failed)
        report.add_uploads(done.frames)
        rejected = [
            show_failure.submit(run, outcome, outcome.failure)
            for outcome in done.failed[: run.pictures.failed.room if run.pictures else MAX_SHOWN]
            if outcome.failure
        ]
        for future in rejected:
            future.wait()
    if not parameters.dry_run:
        skipped = {row.frame: row.skipped for row in report.rows.values() if row.skipped}
        write_summary(
            record.manifest,
            frames=record.media.size,
            excluded={number for number, why in skipped.items() if why not in (DONE, ANNOTATED)},
            annotated={number for number, why in skipped.items() if why == ANNOTATED},
        )
