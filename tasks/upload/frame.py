"""One frame on its way into a CVAT job: encoded, planned, sent, recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence

from attrs import define, evolve, field

from cvat_flows.tasks.cvat.annotation_json import Kind, annotation_to_json
from cvat_flows.tasks.cvat.digest import AttributeDefaults, digest
from cvat_flows.tasks.model.annotations import TAG, Annotation
from cvat_flows.tasks.model.frames import Failure, Outcome
from cvat_flows.tasks.upload.manifest_file import FrameRecord, RunStamp, State
from cvat_flows.tasks.upload.plan import (
    Existing,
    FramePlan,
    Item,
    Known,
    Present,
    plan_frame,
    settle_frame,
)
from cvat_flows.tasks.upload.result import FrameUpload

LONGEST_SOURCE = 16
"""Characters; CVAT answers 500 to more (CVAT_FACTS 5)."""


@define(kw_only=True)
class Encoded:
    """One annotation, ready to be sent."""

    kind: Kind
    digest: str
    body: bytes


@define(kw_only=True)
class FrameWork:
    """What is known and left to do for one frame."""

    outcome: Outcome
    known: Known = field(factory=Known)
    wanted: list[Encoded] = field(factory=list)
    """What is to be sent still; before the plan, all that is wanted."""
    plan: FramePlan = field(factory=FramePlan)
    landed: list[Item] = field(factory=list)
    """What this upload created."""
    unsure: set[str] = field(factory=set)
    """Digests of which a copy may turn up late."""
    failure: Failure | None = None
    deleted: int = 0
    dropped: int = 0
    """How often CVAT answered 200 and had not stored all of it."""

    @property
    def number(self) -> int:
        return self.outcome.frame.number

    @property
    def items(self) -> list[Item]:
        """Objects of the frame that are not a late copy, whatever else they are."""
        known = (*self.known.items, *self.known.doomed)
        return [*self.plan.items, *self.plan.superseded, *self.landed, *known]

    @property
    def to_delete(self) -> tuple[Present, ...]:
        """What has to go once everything is sent: of a failed frame what this upload put there."""
        if self.failure and self.failure.step == "upload":
            mine = (Present(id=i.id, digest=i.digest) for i in self.landed)
            return (*mine, *self.plan.surplus)
        return (*self.plan.delete, *self.plan.surplus)

    def make_plan(self, present: Sequence[Present], known: Known, existing: Existing) -> None:
        """Decide what to create, keep and delete; `wanted` shrinks to what is to be created."""
        self.known = known
        if self.failure:
            self.plan = settle_frame(present, known)
            self.wanted = []
        else:
            self.plan = plan_frame([w.digest for w in self.wanted], present, known, existing)
            self.wanted = [self.wanted[index] for index in self.plan.create]
        # What an earlier run sent last has never been confirmed.
        self.unsure.update(known.pending)

    def fail(self, failure: Failure) -> None:
        self.failure = failure
        self.wanted = []

    def intent(self, run: RunStamp, when: str) -> FrameRecord:
        """The record to write before anything is sent."""
        return self._record(
            run,
            when,
            state="pending",
            items=self.plan.items,
            doomed=self.plan.superseded,
            pending=tuple(w.digest for w in self.wanted),
            unsure=tuple(sorted({*self.known.unsure, *self.unsure})),
        )

    def result(self, run: RunStamp, when: str) -> FrameRecord:
        """The record to write when nothing is left to do."""
        failed = self.failure is not None
        items = (
            (*self.plan.items, *self.plan.superseded)
            if failed
            else (*self.plan.items, *self.landed)
        )
        return self._record(
            run,
            when,
            state="failed" if failed else "annotated",
            items=items,
            unsure=tuple(sorted(self.unsure)),
        )

    def report(self) -> FrameUpload:
        failed = self.failure is not None
        return FrameUpload(
            frame=self.number,
            created=0 if failed else len(self.landed),
            kept=self.plan.kept,
            withheld=self.plan.withheld,
            deleted=0 if failed else self.deleted,
            failure=self.failure,
        )

    def forecast(self) -> FrameUpload:
        """What the upload would do."""
        return evolve(self.report(), created=len(self.wanted), deleted=len(self.to_delete))

    def _record(
        self,
        run: RunStamp,
        when: str,
        *,
        state: State,
        items: tuple[Item, ...],
        doomed: tuple[Item, ...] = (),
        pending: tuple[str, ...] = (),
        unsure: tuple[str, ...] = (),
    ) -> FrameRecord:
        return FrameRecord(
            state=state,
            run=run,
            when=when,
            content_hash=self.outcome.content_hash,
            error=self.failure.error if self.failure else "",
            items=items,
            doomed=doomed,
            pending=pending,
            unsure=unsure,
        )


def prepare(outcome: Outcome, *, frames: Collection[int], defaults: AttributeDefaults) -> FrameWork:
    """Encode a frame's annotations, or fail it for what CVAT would store and never give back.

    `frames` are those of the job: CVAT stores whatever frame number it is given in a job.
    """
    work = FrameWork(outcome=outcome, failure=outcome.failure)
    if outcome.failure:
        return work
    annotations = outcome.annotations
    if annotations is None:
        raise ValueError(f"{outcome.frame}: neither annotations nor a failure")
    if outcome.frame.number not in frames:
        work.fail(_failure(f"frame {outcome.frame.number} does not lie in the job"))
        return work
    for index, annotation in enumerate(annotations):
        fault = _fault(annotation, outcome.frame.number)
        if fault:
            work.fail(_failure(f"annotation {index} ({annotation.type}) {fault}", index))
            break
        body = annotation_to_json(annotation)
        work.wanted.append(
            Encoded(
                kind="tags" if annotation.type == TAG else "shapes",
                digest=digest(body, defaults),
                body=json.dumps(body, separators=(",", ":")).encode(),
            )
        )
    return work


def _fault(annotation: Annotation, frame: int) -> str | None:
    """What CVAT would not check, or answer with a bare 500 (CVAT_FACTS 5)."""
    parts = (annotation, *annotation.elements)
    if any(part.frame != frame for part in parts):
        return f"has another frame number than its frame {frame}; it would damage the task"
    if not all(0 < len(part.source) <= LONGEST_SOURCE for part in parts):
        return f"has no source of 1 to {LONGEST_SOURCE} characters"
    if not all(math.isfinite(v) for part in parts for v in (*part.points, part.rotation)):
        return "has a coordinate that is no finite number"
    return None


def _failure(error: str, index: int | None = None) -> Failure:
    return Failure(step="upload", error=error, error_type="NotUploadable", annotation_index=index)
