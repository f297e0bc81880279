"""What an upload takes as options and says at its end."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from cvat_flows.tasks.cvat.job_annotations import WRITE_POLICY
from cvat_flows.tasks.cvat.retry import RetryPolicy
from cvat_flows.tasks.model.frames import Failure, Outcome
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.upload.plan import Existing


def _nothing_to_check() -> None:
    return None


@frozen(kw_only=True)
class UploadOptions:
    """How to upload."""

    existing: Existing = "keep"
    dry_run: bool = False
    """Read and plan, write nothing."""
    ground_truth: bool = False
    """Allow writing to a ground-truth job (or the pool of a task with honeypots)."""
    labels: tuple[Label, ...] | None = None
    """Labels of the CVAT task. None: fetch them for each job."""
    max_shapes: int = 2_000
    """Annotations in one request. A frame with more goes alone. CVAT stores 2,000 in under 1 s."""
    max_bytes: int = 4 << 20
    """Bytes of one request's body, likewise."""
    retry_policy: RetryPolicy = WRITE_POLICY
    check: Callable[[], None] = _nothing_to_check
    """Called before each write; raises if this run must not write any more (its lease is lost)."""


@frozen(kw_only=True)
class FrameUpload:
    """What an upload did to one frame, or in a dry run would do."""

    frame: int
    created: int = 0
    kept: int = 0
    """Wanted annotations that were there already."""
    withheld: int = 0
    """Wanted annotations that were not put back, because a person removed or changed them."""
    deleted: int = 0
    failure: Failure | None = None
    """Why the frame failed: before the upload, or in it (step `upload`)."""


@frozen(kw_only=True)
class UploadReport:
    """What became of one job."""

    task_id: int
    job_id: int
    dry_run: bool = False
    frames: tuple[FrameUpload, ...] = ()
    """Frames that were not skipped, in order of frame number."""
    failed: tuple[Outcome, ...] = ()
    """Outcomes of the frames that failed in the upload, with their failure. Those that came failed
    are not repeated here."""
    requests: int = 0
    """Requests that were to write."""
    doubtful: int = 0
    """Requests without a clear answer; each was checked by reading back."""

    @property
    def created(self) -> int:
        return sum(frame.created for frame in self.frames)

    @property
    def kept(self) -> int:
        return sum(frame.kept for frame in self.frames)

    @property
    def withheld(self) -> int:
        return sum(frame.withheld for frame in self.frames)

    @property
    def deleted(self) -> int:
        return sum(frame.deleted for frame in self.frames)

    def __str__(self) -> str:
        would = "would be " if self.dry_run else ""
        text = (
            f"job {self.job_id}: {self.created} {would}created, {self.kept} kept, {self.deleted} "
            f"{would}deleted on {len(self.frames)} frames; {len(self.failed)} frames failed"
        )
        if self.withheld:
            text += (
                f"; {self.withheld} not put back because people removed or changed them "
                "(existing='clear' does)"
            )
        return text
