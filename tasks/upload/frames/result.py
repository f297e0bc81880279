"""The options and the result of an upload."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from cvat_flows.tasks.cvat.client.retry import RetryPolicy, write_policy
from cvat_flows.tasks.model.frames import Failure, Outcome
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.upload.frames.look import Look
from cvat_flows.tasks.upload.frames.plan import Existing


def _always_allowed() -> None:
    return None


@frozen(kw_only=True)
class UploadOptions:
    """How to upload."""

    existing: Existing = "keep"
    """What to do with existing annotations."""
    dry_run: bool = False
    """Read and plan, but write nothing."""
    ground_truth: bool = False
    """Allow writing to a ground-truth job (or the pool of a task with honeypots)."""
    labels: tuple[Label, ...] | None = None
    """Labels of the CVAT task. None: fetch them for each job."""
    max_shapes: int = 2_000
    """Annotations in a request; a frame with more is sent in its own request. CVAT stores 2,000 in
    less than a second."""
    max_bytes: int = 4 << 20
    """Bytes of a request's body; a frame with more is sent in its own request."""
    retry_policy: RetryPolicy = field(factory=write_policy)
    quiet_since: float | None = None
    """Since when no other run has written to the CVAT task (`Lease.quiet_since`): their requests
    had ended by then. None: until now."""
    check: Callable[[], None] = _always_allowed
    """Called before each write. Raises if this run must not write any more (its lease is lost)."""

    def look(self, run: str, at: float) -> Look:
        """Return a look at a job by a run."""
        lifetime = self.retry_policy.request_lifetime
        return Look(at=at, run=run, quiet_since=self.quiet_since, lifetime=lifetime)


@frozen(kw_only=True)
class FrameUpload:
    """What an upload did to one frame. In a dry run: what it would do."""

    frame: int
    created: int = 0
    kept: int = 0
    """Wanted annotations that were already there."""
    withheld: int = 0
    """Wanted annotations that were not created because a person changed or removed them."""
    deleted: int = 0
    failure: Failure | None = None
    """Why the frame failed, in the upload or in an earlier step."""


@frozen(kw_only=True)
class UploadReport:
    """What an upload did to one job."""

    task_id: int
    job_id: int
    dry_run: bool = False
    frames: tuple[FrameUpload, ...] = ()
    """Frames that were not skipped, in order of frame number."""
    failed: tuple[Outcome, ...] = ()
    """Outcomes of the frames that failed in the upload, not of those that had failed before."""
    waiting: tuple[int, ...] = ()
    """Frames with a request that had no answer and may still be carried out. They are in none of
    the other lists."""
    look_after: float = 0.0
    """When to upload them again (seconds since 1970)."""
    requests: int = 0
    """Number of requests to create or delete."""
    doubtful: int = 0
    """Number of requests without a clear answer. After each of them the job was read back."""

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
            f"job {self.job_id}: {self.created:,} {would}created, {self.kept:,} already there, "
            f"{self.deleted:,} {would}deleted on {counted(len(self.frames), 'frame')}; "
            f"{counted(len(self.failed), 'failed frame')}"
        )
        if self.withheld:
            text += (
                f"; {self.withheld:,} not created because people changed or removed them "
                "(--existing clear creates them)"
            )
        return text
