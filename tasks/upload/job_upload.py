"""The steps of an upload to one CVAT job, and the frames that are on their way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial

from attrs import define, evolve, field

from cvat_flows.tasks.cvat.digest import digest
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.label_names import LabelNames
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.record.manifest import FRAMES_PER_FILE, Manifest
from cvat_flows.tasks.record.manifest_file import FrameRecord, now
from cvat_flows.tasks.record.ownership import ManifestItem
from cvat_flows.tasks.upload.before import JobBefore, has_groups
from cvat_flows.tasks.upload.frames.encode import encode_frame
from cvat_flows.tasks.upload.frames.frame import PendingFrame, without_surplus
from cvat_flows.tasks.upload.frames.result import FrameUpload, UploadOptions
from cvat_flows.tasks.upload.requests.copies import CopyFinder
from cvat_flows.tasks.upload.requests.create import Creator
from cvat_flows.tasks.upload.requests.delete import Deleter, Key
from cvat_flows.tasks.upload.requests.read import JobReader
from cvat_flows.tasks.upload.requests.recover import Recovery
from cvat_flows.tasks.upload.requests.verify import Verifier


@define(kw_only=True)
class JobUpload:
    """The state of an upload to one job: `send` its outcomes in parts, then `finish`."""

    channel: JobAnnotations
    manifest: Manifest
    options: UploadOptions
    job_frames: Collection[int]
    names: LabelNames
    reader: JobReader = field(init=False)
    creator: Creator = field(init=False)
    deleter: Deleter = field(init=False)
    before: JobBefore = field(init=False)
    results: dict[int, FrameUpload] = field(factory=dict, init=False)
    failed: list[Outcome] = field(factory=list, init=False)
    waiting: dict[int, float] = field(factory=dict, init=False)
    """Frames with a request that may still be carried out, and until when."""
    _unfinished: dict[int, PendingFrame] = field(factory=dict, init=False)
    """Frames with something to delete or verify after everything is sent."""
    _cleaned: set[int] = field(factory=set, init=False)
    """Other frames with something that is there twice."""

    def __attrs_post_init__(self) -> None:
        self.reader = JobReader(
            channel=self.channel,
            names=self.names,
            recorded=partial(self.manifest.record, self.channel.job_id),
        )
        self.creator = Creator(
            channel=self.channel,
            digest_of=lambda item: digest(self.reader.groups.translate(item), self.names),
            options=self.options,
            run_id=self.manifest.run.id,
            read_objects=self.reader.objects,
            record=self._record_intents,
        )
        self.deleter = Deleter(channel=self.channel, options=self.options, find=self.reader.find)
        self.before = JobBefore(
            reader=self.reader,
            manifest=self.manifest,
            options=self.options,
            write=self._record,
        )

    def send(self, outcomes: list[Outcome]) -> None:
        """Plan and create the annotations of some frames. `finish` deletes the superseded ones.

        The frames' records are in one manifest file.
        """
        recovery = self.before.recover(outcomes[0].frame.number)
        if any(map(has_groups, outcomes)):
            self.reader.groups.reserve(outcome.frame.number for outcome in outcomes)
        frames = []
        for outcome in outcomes:
            held_until = recovery.held.get(outcome.frame.number)
            if held_until is None or self.options.dry_run:
                frames.append(self._plan(outcome, recovery))
            else:
                self.waiting[outcome.frame.number] = held_until
        if self.options.dry_run:
            self._add_results(frames, [frame.forecast() for frame in frames])
            return
        requests = self.creator.group(frames)
        self._record_intents(frame for frame in frames if frame.wanted or frame.to_delete)
        try:
            self.creator.create(requests)
        except CvatFlowsError:
            with suppress(CvatFlowsError):
                stamp = self.manifest.run, now()
                self._record({f.number: f.record_interrupted(*stamp) for f in frames if f.request})
            raise
        open_frames = [frame for frame in frames if frame.until]
        self._record_intents(open_frames)
        self.waiting.update((f.number, f.until) for f in open_frames if f.until)
        done = [frame for frame in frames if not frame.until]
        self._unfinished |= {f.number: f for f in done if f.to_delete or f.doubtful}
        finished = [f for f in done if not (f.to_delete or f.doubtful)]
        self._record({f.number: f.record_sent(self.manifest.run, now()) for f in finished})
        self._add_results(finished, [frame.result() for frame in finished])

    def _plan(self, outcome: Outcome, recovery: Recovery) -> PendingFrame:
        """Decide what to create and delete on a frame."""
        number = outcome.frame.number
        existing = self.before.take(outcome)
        frame = encode_frame(
            outcome,
            job_frames=self.job_frames,
            names=self.names,
            groups=self.reader.groups,
        )
        frame.groups = self.reader.groups.pairs(number)
        record = recovery.changed.get(number) or self.manifest.record(self.channel.job_id, number)
        frame.make_plan(existing, record, self.options.existing)
        frame.doubtful.update(recovery.given_up.get(number, ()))
        if record and record.run == self.manifest.run:
            frame.found = recovery.found.get(number, 0)
        return frame

    def finish(self) -> None:
        """Delete what is superseded or there twice, and verify what is in doubt."""
        if not (self._unfinished or self.creator.sent):
            return
        finder = CopyFinder(
            reader=self.reader,
            creator=self.creator,
            items_of=self._items,
            doubtful_of=self._doubtful,
            highest_ids=self.before.highest_ids,
        )
        verifier = Verifier(
            reader=self.reader, deleter=self.deleter, finder=finder, record=self._record_surplus
        )
        verifier.verify(self._unfinished)
        self._confirm()
        self._complete(list(self._unfinished.values()))
        self._unfinished = {}
        for number, count in self.deleter.deleted.items():
            if not self.results[number].failure:
                self.results[number] = evolve(self.results[number], deleted=count)

    def _items(self, number: int) -> Iterable[ManifestItem]:
        """Return the current items of a frame that was sent."""
        frame = self._unfinished.get(number)
        if frame:
            return frame.items
        record = self.manifest.record(self.channel.job_id, number)
        return record.items if record else ()

    def _doubtful(self, number: int) -> Collection[str]:
        """Return the digests of a frame's requests that were sent again."""
        frame = self._unfinished.get(number)
        return frame.doubtful if frame else ()

    def _record_intents(self, frames: Iterable[PendingFrame]) -> None:
        """Write what is about to happen to the frames."""
        self._record({f.number: f.record_before(self.manifest.run, now()) for f in frames})

    def _record_surplus(self, surplus: Mapping[int, Collection[Key]]) -> None:
        """Write what is about to be deleted because it is there twice."""
        records = {}
        for number, keys in surplus.items():
            frame = self._unfinished.get(number)
            if not keys:
                continue
            if frame is None:
                record = self.manifest.record(self.channel.job_id, number)
                if record:
                    records[number] = without_surplus(record, keys)
                    self._cleaned.add(number)
            elif not frame.failure:
                records[number] = frame.record_surplus(keys, self.manifest.run, now())
        self._record(records)

    def _confirm(self) -> None:
        """Record that the frames that were sent are annotated: nothing of them is there twice."""
        sent = self.creator.sent
        for file in sorted({number // FRAMES_PER_FILE for number in sent}):
            records = self.manifest.records_near(self.channel.job_id, file * FRAMES_PER_FILE)
            self._record(
                {
                    number: evolve(record, state="annotated", request="")
                    for number, record in records.items()
                    if number in self._cleaned
                    or (record.request == sent.get(number) and not record.pending)
                }
            )

    def _complete(self, frames: list[PendingFrame]) -> None:
        self._record({f.number: f.record_after(self.manifest.run, now()) for f in frames})
        self._add_results(frames, [frame.result() for frame in frames])

    def _record(self, records: dict[int, FrameRecord]) -> None:
        if records:
            self.options.check()
            self.manifest.write(self.channel.job_id, records)

    def _add_results(self, frames: list[PendingFrame], results: list[FrameUpload]) -> None:
        for frame, result in zip(frames, results, strict=True):
            self.results[frame.number] = result
            if frame.failure and not frame.outcome.failure:
                self.failed.append(evolve(frame.outcome, failure=frame.failure))
