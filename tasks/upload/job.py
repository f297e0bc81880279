"""Upload the outcomes of one CVAT job: exactly once, and nothing of a person's lost.

Read what is there, plan, write the intent to the manifest, create, verify, delete what was
superseded, write the result to the manifest. Whatever happens in between, the next upload finds in
the job and the manifest all that it needs to finish; docs/upload.md says why.
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
from cvat_flows.tasks.upload.create import Sender
from cvat_flows.tasks.upload.delete import Deleter, Key, Victim
from cvat_flows.tasks.upload.frame import FrameWork, prepare
from cvat_flows.tasks.upload.manifest import FRAMES_PER_FILE, Manifest, now
from cvat_flows.tasks.upload.manifest_file import FrameRecord
from cvat_flows.tasks.upload.plan import Known, Present, surplus_of
from cvat_flows.tasks.upload.read import JobReader
from cvat_flows.tasks.upload.result import FrameUpload, UploadOptions, UploadReport

_ANNOTATIONS_AT_ONCE = 20_000
"""Annotations that are held in memory, encoded, at a time."""
_LOOKS = 5
"""Looks for late copies at the end of a job: one that finds none is the last."""


def upload_job(
    client: Client,
    *,
    task_id: int,
    job_id: int,
    outcomes: Iterable[Outcome],
    manifest: Manifest,
    options: UploadOptions | None = None,
) -> UploadReport:
    """Put the annotations of `outcomes` into the job; skipped outcomes are passed over.

    Frames that jobs share are to be uploaded to each of these jobs, in a call for each. Outcomes
    come in order of frame number (any order works, at the cost of more manifest writes) and may
    come from a generator: a bounded number of annotations is in memory at a time, plus 200 bytes
    for each object that the job holds already.

    Raises CvatUnavailable (run it again), CvatRefused, NotWritable. A frame that CVAT refuses
    raises nothing: it is in the report's `failed`.
    """
    options = options or UploadOptions()
    channel = JobAnnotations(client=client, job_id=job_id, retry_policy=options.retry_policy)
    labels = fetch_labels(client, job_id=job_id) if options.labels is None else options.labels
    upload = _Upload(
        channel=channel,
        manifest=manifest,
        options=options,
        frames=frames_of_job(client, task_id, job_id, ground_truth=options.ground_truth),
        defaults=attribute_defaults(labels),
    )
    for window in _windows(outcomes):
        upload.take(window)
    upload.finish()
    return UploadReport(
        task_id=task_id,
        job_id=job_id,
        dry_run=options.dry_run,
        frames=tuple(report for _, report in sorted(upload.reports.items())),
        failed=tuple(upload.failed),
        requests=upload.sender.requests + upload.deleter.requests,
        doubtful=upload.sender.doubtful + upload.deleter.doubtful,
    )


@define(kw_only=True)
class _Upload:
    """The state of one call of `upload_job`."""

    channel: JobAnnotations
    manifest: Manifest
    options: UploadOptions
    frames: Collection[int]
    defaults: AttributeDefaults
    reader: JobReader = field(init=False)
    sender: Sender = field(init=False)
    deleter: Deleter = field(init=False)
    reports: dict[int, FrameUpload] = field(factory=dict, init=False)
    failed: list[Outcome] = field(factory=list, init=False)
    _present: dict[int, list[Present]] | None = field(default=None, init=False)
    _unfinished: list[FrameWork] = field(factory=list, init=False)
    """Frames with something to delete or to verify, once everything is sent."""

    def __attrs_post_init__(self) -> None:
        self.reader = JobReader(channel=self.channel, defaults=self.defaults)
        self.sender = Sender(
            channel=self.channel,
            defaults=self.defaults,
            options=self.options,
            run_id=self.manifest.run.id,
            read_present=self.reader.present,
        )
        self.deleter = Deleter(channel=self.channel, options=self.options, find=self.reader.find)

    def take(self, outcomes: list[Outcome]) -> None:
        """Plan and send some frames; their deletions wait for `finish`."""
        if self._present is None:
            self._present = self.reader.present()
        works = []
        for outcome in outcomes:
            work = prepare(outcome, frames=self.frames, defaults=self.defaults)
            record = self.manifest.record(self.channel.job_id, work.number)
            work.make_plan(
                self._present.pop(work.number, []),
                record.known if record else Known(),
                self.options.existing,
            )
            works.append(work)
        if self.options.dry_run:
            self._note(works, [work.forecast() for work in works])
            return
        busy = [work for work in works if work.wanted or work.to_delete]
        self._record({w.number: w.intent(self.manifest.run, now()) for w in busy})
        self.sender.send(works)
        finished = []
        for work in works:
            if work.to_delete or work.unsure:
                self._unfinished.append(work)
            else:
                finished.append(work)
        self._end(finished)

    def finish(self) -> None:
        """Verify what was in doubt and delete what was superseded."""
        if not self._unfinished:
            return
        for _ in range(_LOOKS):
            victims = self._superfluous()
            self.deleter.delete(victims)
            # A late copy may have come in meanwhile: end with a look that finds nothing.
            if not victims or not any(work.unsure for work in self._unfinished):
                break
        for work in self._unfinished:
            work.deleted = self.deleter.deleted.get(work.number, 0)
            if work.number in self.deleter.undeletable and not work.failure:
                work.failure = Failure(
                    step="upload",
                    error=self.deleter.undeletable[work.number],
                    error_type="DeleteRefused",
                )
        self._end(self._unfinished)
        self._unfinished = []

    def _superfluous(self) -> list[Victim]:
        """What is superseded, or a copy that nothing accounts for, as the job is now."""
        snapshot = self.reader.snapshot()
        present = self.reader.present({w.number for w in self._unfinished}, snapshot)
        targets: dict[int, set[Key]] = {}
        for work in self._unfinished:
            if work.number not in self.deleter.undeletable:
                extra = surplus_of(present.get(work.number, []), work.items, work.unsure)
                keys = {(p.id, p.digest) for p in (*work.to_delete, *extra)}
                targets[work.number] = keys
        return self.reader.find(targets, snapshot)

    def _end(self, works: list[FrameWork]) -> None:
        self._record({w.number: w.result(self.manifest.run, now()) for w in works})
        self._note(works, [work.report() for work in works])

    def _record(self, records: dict[int, FrameRecord]) -> None:
        self.options.check()
        self.manifest.write(self.channel.job_id, records)

    def _note(self, works: list[FrameWork], reports: list[FrameUpload]) -> None:
        for work, report in zip(works, reports, strict=True):
            self.reports[work.number] = report
            if work.failure and not work.outcome.failure:
                self.failed.append(evolve(work.outcome, failure=work.failure))


def _windows(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    """Cut the outcomes where a manifest file ends, and where memory would grow."""
    window: list[Outcome] = []
    annotations = 0
    for outcome in outcomes:
        if outcome.skipped:
            continue
        if window and (
            outcome.frame.number // FRAMES_PER_FILE != window[0].frame.number // FRAMES_PER_FILE
            or annotations >= _ANNOTATIONS_AT_ONCE
        ):
            yield window
            window, annotations = [], 0
        window.append(outcome)
        annotations += len(outcome.annotations or ())
    if window:
        yield window
