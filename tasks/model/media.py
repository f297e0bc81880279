"""A CVAT task's frames and jobs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from typing import Literal

from attrs import field, frozen

from cvat_flows.tasks.model.frames import Frame


@frozen(kw_only=True)
class JobRange:
    """An annotation job (or the pool of a task with honeypots) and the frames it contains."""

    id: int
    first: int
    last: int
    """Last frame number, inclusive."""
    stage: str = "annotation"
    state: str = "new"

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number <= self.last


@frozen(kw_only=True)
class TaskMedia:
    """A CVAT task's frames and jobs at the time of asking."""

    host: str
    """Address of the CVAT server, without a slash at its end."""
    task_id: int
    name: str
    size: int
    """Number of frames, deleted ones included."""
    chunk_size: int
    mode: Literal["annotation", "interpolation"]
    """CVAT's word: images or video."""
    chunk_type: Literal["imageset", "video"]
    """What the chunks of original quality hold."""
    data_id: int | None
    chunks_updated_date: str
    """As CVAT writes it; it moves when the content of a chunk changes."""
    project_id: int | None
    project_name: str | None
    subset: str
    jobs: tuple[JobRange, ...]
    """Annotation jobs in order of their first frame; overlapping ones share frames."""
    pool_job: JobRange | None = None
    """The ground-truth job of a task with honeypots: its frames are in no other job."""
    ground_truth_job_id: int | None = None
    """A plain ground-truth job. Its frames lie in annotation jobs too; those are annotated like
    any other, while the ground-truth job keeps its own annotations apart (CVAT_FACTS 5)."""
    deleted_frames: frozenset[int] = field(default=frozenset(), repr=False)
    honeypot_frames: frozenset[int] = field(default=frozenset(), repr=False)
    """Copies of pool frames that CVAT put among the frames of annotation jobs."""
    names: tuple[str, ...] = field(repr=False)
    """File name of each frame; a single one for a video."""
    sizes: tuple[tuple[int, int], ...] = field(repr=False)
    """Width and height in pixels, beside `names`."""
    _starts: tuple[int, ...] = field(init=False, repr=False, eq=False)

    @_starts.default
    def _first_frames(self) -> tuple[int, ...]:
        return tuple(job.first for job in self.jobs)

    def __str__(self) -> str:
        return f"task {self.task_id} · {self.name}"

    @property
    def task_url(self) -> str:
        return f"{self.host}/tasks/{self.task_id}"

    @property
    def all_job_ids(self) -> tuple[int, ...]:
        pool = (self.pool_job.id,) if self.pool_job else ()
        return tuple(job.id for job in self.jobs) + pool

    def frame(self, number: int, *, jobs: Collection[int] | None = None) -> Frame:
        """The frame of this number, in those of its jobs that are among `jobs` (None: all)."""
        entry = min(number, len(self.names) - 1)
        width, height = self.sizes[entry]
        return Frame(
            number=number,
            name=self.names[entry],
            width=width,
            height=height,
            chunk=number // self.chunk_size,
            job_ids=tuple(i for i in self.jobs_of(number) if jobs is None or i in jobs),
        )

    def jobs_of(self, number: int) -> tuple[int, ...]:
        """Ids of the jobs that contain the frame, in order of their first frame."""
        found: list[int] = []
        index = bisect_right(self._starts, number) - 1
        # Segments begin and end in the same order, so the first that ends before is the last
        # one worth looking at.
        while index >= 0 and number in self.jobs[index]:
            found.append(self.jobs[index].id)
            index -= 1
        if not found and self.pool_job and number in self.pool_job:
            return (self.pool_job.id,)
        return tuple(reversed(found))

    def frame_url(self, frame: Frame) -> str:
        """Address that opens the frame in CVAT's annotation view."""
        if not frame.job_ids:
            return self.task_url
        return f"{self.task_url}/jobs/{frame.job_ids[0]}?frame={frame.number}"
