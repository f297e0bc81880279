"""Upload the outcomes of one CVAT job, exactly once and without changing people's work.

The steps are: read the job, plan, write what is about to happen to the manifest, create, verify,
delete what is superseded, write the result to the manifest. If a step is interrupted, the job and
the manifest contain all that the next upload needs to finish; docs/upload.md explains why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from attrs import define, evolve, field
from cvat_sdk import Client

from cvat_flows.tasks.cvat.digest import AttributeDefaults, attribute_defaults
from cvat_flows.tasks.cvat.job import frames_of_job
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.model.frames import Failure, Outcome
from cvat_flows.tasks.upload.create import Creator
from cvat_flows.tasks.upload.delete import Deleter, Key, ObjectToDelete
from cvat_flows.tasks.upload.frame import PendingFrame, encode_frame
from cvat_flows.tasks.upload.manifest import FRAMES_PER_FILE, Manifest
from cvat_flows.tasks.upload.manifest_file import FrameRecord, now
from cvat_flows.tasks.upload.ownership import ExistingObject, FrameHistory
from cvat_flows.tasks.upload.plan import find_duplicates
from cvat_flows.tasks.upload.read import JobReader
from cvat_flows.tasks.upload.result import FrameUpload, UploadOptions, UploadReport

_MAX_ENCODED_ANNOTATIONS = 20_000
"""Annotations in memory at a time."""
_MAX_VERIFICATIONS = 5
"""How often to look for duplicates at the end of a job. The first time without one is the last."""


def upload_job(
    client: Client,
    *,
    task_id: int,
    job_id: int,
    outcomes: Iterable[Outcome],
    manifest: Manifest,
    options: UploadOptions | None = None,
) -> UploadReport:
    """Upload the annotations of `outcomes` to a job. Skipped outcomes are ignored.

    For frames that jobs share, call this for each of the jobs.

    Memory does not grow with the number of outcomes, except for 200 bytes for each object that the
    job contains already.

    Args:
        client: The CVAT server.
        task_id: Id of the job's task.
        job_id: Id of the job.
        outcomes: In order of frame number. Any other order works, but writes the manifest more
            often.
        manifest: The function's manifest of the task.
        options: How to upload.

    Returns:
        What was uploaded. Frames that CVAT refuses are in its `failed`.

    Raises:
        CvatUnavailable: CVAT stays unavailable; run it again later.
        CvatRefused: CVAT refuses the whole job.
        NotWritable: The job is not of this task, or is a ground-truth job.
    """
    options = options or UploadOptions()
    channel = JobAnnotations(client=client, job_id=job_id, retry_policy=options.retry_policy)
    labels = fetch_labels(client, job_id=job_id) if options.labels is None else options.labels
    upload = _JobUpload(
        channel=channel,
        manifest=manifest,
        options=options,
        job_frames=frames_of_job(client, task_id, job_id, ground_truth=options.ground_truth),
        defaults=attribute_defaults(labels),
    )
    for window in _windows(outcomes):
        upload.send(window)
    upload.finish()
    return UploadReport(
        task_id=task_id,
        job_id=job_id,
        dry_run=options.dry_run,
        frames=tuple(result for _, result in sorted(upload.results.items())),
        failed=tuple(upload.failed),
        requests=upload.creator.requests + upload.deleter.requests,
        doubtful=upload.creator.doubtful + upload.deleter.doubtful,
    )


@define(kw_only=True)
class _JobUpload:
    """The state of one call of `upload_job`."""

    channel: JobAnnotations
    manifest: Manifest
    options: UploadOptions
    job_frames: Collection[int]
    defaults: AttributeDefaults
    reader: JobReader = field(init=False)
    creator: Creator = field(init=False)
    deleter: Deleter = field(init=False)
    results: dict[int, FrameUpload] = field(factory=dict, init=False)
    failed: list[Outcome] = field(factory=list, init=False)
    _existing: dict[int, list[ExistingObject]] | None = field(default=None, init=False)
    _unfinished: list[PendingFrame] = field(factory=list, init=False)
    """Frames with something to delete or verify after everything is sent."""

    def __attrs_post_init__(self) -> None:
        self.reader = JobReader(channel=self.channel, defaults=self.defaults)
        self.creator = Creator(
            channel=self.channel,
            defaults=self.defaults,
            options=self.options,
            run_id=self.manifest.run.id,
            read_objects=self.reader.objects,
        )
        self.deleter = Deleter(channel=self.channel, options=self.options, find=self.reader.find)

    def send(self, outcomes: list[Outcome]) -> None:
        """Plan and create the annotations of some frames. `finish` deletes the superseded ones."""
        if self._existing is None:
            self._existing = self.reader.objects()
        frames = []
        for outcome in outcomes:
            frame = encode_frame(outcome, job_frames=self.job_frames, defaults=self.defaults)
            record = self.manifest.record(self.channel.job_id, frame.number)
            frame.make_plan(
                self._existing.pop(frame.number, []),
                record.history if record else FrameHistory(),
                self.options.existing,
            )
            frames.append(frame)
        if self.options.dry_run:
            self._add_results(frames, [frame.forecast() for frame in frames])
            return
        changing = [frame for frame in frames if frame.wanted or frame.to_delete]
        self._record({f.number: f.record_before(self.manifest.run, now()) for f in changing})
        self.creator.create(frames)
        self._unfinished += [f for f in frames if f.to_delete or f.doubtful]
        self._complete([f for f in frames if not (f.to_delete or f.doubtful)])

    def finish(self) -> None:
        """Delete what is superseded, and verify what is in doubt."""
        if not self._unfinished:
            return
        for _ in range(_MAX_VERIFICATIONS):
            objects = self._objects_to_delete()
            self.deleter.delete(objects)
            # CVAT may have created a late copy meanwhile, so the last look must find nothing.
            if not objects or not any(frame.doubtful for frame in self._unfinished):
                break
        for frame in self._unfinished:
            frame.deleted = self.deleter.deleted.get(frame.number, 0)
            if frame.number in self.deleter.undeletable and not frame.failure:
                frame.failure = Failure(
                    step="upload",
                    error=self.deleter.undeletable[frame.number],
                    error_type="DeleteRefused",
                )
        self._complete(self._unfinished)
        self._unfinished = []

    def _objects_to_delete(self) -> list[ObjectToDelete]:
        """Read the job and find superseded objects and duplicates."""
        snapshot = self.reader.snapshot()
        existing = self.reader.objects({f.number for f in self._unfinished}, snapshot)
        targets: dict[int, set[Key]] = {}
        for frame in self._unfinished:
            if frame.number not in self.deleter.undeletable:
                duplicates = find_duplicates(
                    existing.get(frame.number, []), frame.items, frame.doubtful
                )
                keys = {(o.id, o.digest) for o in (*frame.to_delete, *duplicates)}
                targets[frame.number] = keys
        return self.reader.find(targets, snapshot)

    def _complete(self, frames: list[PendingFrame]) -> None:
        self._record({f.number: f.record_after(self.manifest.run, now()) for f in frames})
        self._add_results(frames, [frame.result() for frame in frames])

    def _record(self, records: dict[int, FrameRecord]) -> None:
        self.options.check()
        self.manifest.write(self.channel.job_id, records)

    def _add_results(self, frames: list[PendingFrame], results: list[FrameUpload]) -> None:
        for frame, result in zip(frames, results, strict=True):
            self.results[frame.number] = result
            if frame.failure and not frame.outcome.failure:
                self.failed.append(evolve(frame.outcome, failure=frame.failure))


def _windows(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    """Cut the outcomes where a manifest file ends, and where they would need too much memory."""
    window: list[Outcome] = []
    annotations = 0
    for outcome in outcomes:
        if outcome.skipped:
            continue
        if window and (
            outcome.frame.number // FRAMES_PER_FILE != window[0].frame.number // FRAMES_PER_FILE
            or annotations >= _MAX_ENCODED_ANNOTATIONS
        ):
            yield window
            window, annotations = [], 0
        window.append(outcome)
        annotations += len(outcome.annotations or ())
    if window:
        yield window
