"""One frame during its upload: encoded, planned, sent and recorded."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, evolve, field

from cvat_flows.tasks.cvat.annotation_json import Kind
from cvat_flows.tasks.model.frames import Failure, Outcome
from cvat_flows.tasks.record.failures import count_failures, kind_of
from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp, State
from cvat_flows.tasks.record.ownership import ExistingObject, FrameHistory, ManifestItem
from cvat_flows.tasks.upload.frames.plan import Existing, FramePlan, plan_cleanup, plan_frame
from cvat_flows.tasks.upload.frames.result import FrameUpload


@define(kw_only=True)
class EncodedAnnotation:
    """An annotation as JSON for CVAT."""

    index: int
    """Index in the outcome."""
    kind: Kind
    digest: str
    body: bytes


@define(kw_only=True)
class PendingFrame:
    """A frame that is being uploaded."""

    outcome: Outcome
    groups: tuple[tuple[int, int], ...] = ()
    """See `FrameRecord.groups`."""
    labels: dict[str, str] = field(factory=dict)
    """What digests call the labels of the frame's annotations, by digest."""
    before: FrameRecord | None = None
    """The frame's record before this upload."""
    wanted: list[EncodedAnnotation] = field(factory=list)
    """Before `make_plan`: all annotations. After it: those that are not in CVAT yet."""
    plan: FramePlan = field(factory=FramePlan)
    request: str = ""
    """Id of the request that carries `wanted`."""
    until: float | None = None
    """Until when that request, which had no answer, may be carried out (seconds since 1970)."""
    created: list[ManifestItem] = field(factory=list)
    """What this upload created. The id is 0 if a person removed it before it was known."""
    found: int = 0
    """How many of the annotations that were there are from an earlier request of this run."""
    doubtful: set[str] = field(factory=set)
    """Digests of requests that were given up or sent again. CVAT may still create copies."""
    failure: Failure | None = None
    deleted: int = 0
    silent_drops: int = 0
    """How often CVAT answered 200 without storing everything."""

    @property
    def number(self) -> int:
        return self.outcome.frame.number

    @property
    def history(self) -> FrameHistory:
        return self.before.history if self.before else FrameHistory()

    @property
    def items(self) -> list[ManifestItem]:
        """All known items of the frame. Any other copy of them is a duplicate."""
        recorded = (*self.history.items, *self.history.deleting)
        return [*self.plan.items, *self.plan.superseded, *self.created, *recorded]

    @property
    def to_delete(self) -> tuple[ExistingObject, ...]:
        """Objects to delete after everything is sent. If the upload failed, those it created."""
        if self.failure and self.failure.step == "upload":
            created = (ExistingObject(id=i.id, digest=i.digest) for i in self.created)
            return (*created, *self.plan.duplicates)
        return (*self.plan.delete, *self.plan.duplicates)

    def make_plan(
        self, existing: Sequence[ExistingObject], before: FrameRecord | None, mode: Existing
    ) -> None:
        """Decide what to create, keep and delete on the frame, which has no open request."""
        self.before = before
        history = self.history
        if self.failure:
            self.plan = plan_cleanup(existing, history)
            self.wanted = []
        else:
            self.plan = plan_frame([w.digest for w in self.wanted], existing, history, mode)
            self.wanted = [self.wanted[index] for index in self.plan.create]

    def fail(self, failure: Failure) -> None:
        self.failure = failure
        self.wanted = []

    def record_before(self, run: RunStamp, when: str) -> FrameRecord:
        """Return the record to write before the frame's request is sent, or while it is open."""
        return evolve(
            self._record(run, when, state="pending", items=(*self.plan.items, *self.created)),
            failure=self.before.failure if self.before else "",
            failures=self.before.failures if self.before else 0,
            deleting=self.plan.superseded,
            pending=tuple(w.digest for w in self.wanted),
            request=self.request,
            until=self.until,
            doubtful=tuple(sorted({*self.history.doubtful, *self.doubtful})),
        )

    def record_surplus(
        self, surplus: Collection[tuple[int, str]], run: RunStamp, when: str
    ) -> FrameRecord:
        """Return the record to write before surplus copies (ids and digests) are deleted.

        The outcome of the frame's request is known then. What is deleted of this upload's objects
        was touched by a person in another copy.
        """
        self.created = [_forget(item, surplus) for item in self.created]
        self.doubtful.update(digest for _, digest in surplus)
        record = self.record_before(run, when)
        return evolve(record, pending=(), request="", until=None)

    def record_interrupted(self, run: RunStamp, when: str) -> FrameRecord:
        """Return the record to write if the upload ends before the frame's request is answered."""
        record = self.record_before(run, when)
        return record if self.until else evolve(record, pending=())

    def record_sent(self, run: RunStamp, when: str) -> FrameRecord:
        """Return the record to write when the frame's request has its answer.

        It names the request until a look at the job has shown that nothing is there twice.
        """
        record = self.record_after(run, when)
        if self.failure or not self.request:
            return record
        return evolve(record, state="pending", request=self.request)

    def record_after(self, run: RunStamp, when: str) -> FrameRecord:
        """Return the record to write after everything is sent and deleted."""
        doubtful = tuple(sorted(self.doubtful))
        if self.failure is None:
            items = (*self.plan.items, *self.created)
            record = self._record(run, when, state="annotated", items=items)
            return evolve(record, doubtful=doubtful)
        return evolve(
            self._record(
                run, when, state="failed", items=(*self.plan.items, *self.plan.superseded)
            ),
            failure=kind_of(self.failure),
            failures=count_failures(self.before, run, self.failure),
            doubtful=doubtful,
        )

    def result(self) -> FrameUpload:
        """Return what the upload did."""
        failed = self.failure is not None
        return FrameUpload(
            frame=self.number,
            created=0 if failed else self.found + sum(item.id != 0 for item in self.created),
            kept=self.plan.kept - self.found,
            withheld=self.plan.withheld + sum(item.id == 0 for item in self.created),
            deleted=0 if failed else self.deleted,
            failure=self.failure,
        )

    def forecast(self) -> FrameUpload:
        """Return what the upload would do."""
        return evolve(self.result(), created=len(self.wanted), deleted=len(self.to_delete))

    def _record(
        self, run: RunStamp, when: str, *, state: State, items: tuple[ManifestItem, ...]
    ) -> FrameRecord:
        return FrameRecord(
            state=state,
            run=run,
            when=when,
            content_hash=self.outcome.content_hash,
            present=self.outcome.present,
            error=self.failure.error if self.failure else "",
            items=tuple(map(self._with_label, items)),
            groups=self.groups,
        )

    def _with_label(self, item: ManifestItem) -> ManifestItem:
        label = self.labels.get(item.digest)
        return item if label is None or item.label == label else evolve(item, label=label)


def without_surplus(record: FrameRecord, surplus: Collection[tuple[int, str]]) -> FrameRecord:
    """Return the record of a frame before surplus copies (ids and digests) are deleted."""
    return evolve(
        record,
        items=tuple(_forget(item, surplus) for item in record.items),
        request="",
        doubtful=tuple(sorted({*record.doubtful, *(digest for _, digest in surplus)})),
    )


def _forget(item: ManifestItem, surplus: Collection[tuple[int, str]]) -> ManifestItem:
    return evolve(item, id=0) if (item.id, item.digest) in surplus else item
