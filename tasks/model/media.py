"""The frames and jobs of a CVAT task."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

from attrs import field, frozen

from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.model.identity import TaskIdentity

WHEN_FINISHED = (
    "a job is finished when its state is completed or its stage validation or acceptance"
)
"""What people must do in CVAT; see `JobState.is_finished`."""


@frozen(kw_only=True)
class JobRange:
    """A job and the frames it contains."""

    id: int
    first: int
    last: int
    """Last frame number, inclusive."""

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number <= self.last


@frozen(kw_only=True)
class JobState(JobRange):
    """A job of any type, and how far people are with it."""

    type: str
    """`annotation`, `ground_truth` or `consensus_replica`."""
    stage: str
    """`annotation`, `validation` or `acceptance`."""
    state: str
    """`new`, `in progress`, `rejected` or `completed`."""
    updated: str = ""
    """When the job was last changed, as CVAT writes it."""
    assignee: str = ""
    """Name of the user to whom it is assigned; "" for nobody."""

    @property
    def is_finished(self) -> bool:
        """Whether a person said that the annotations are complete, and nobody rejected them."""
        if self.state == "rejected":
            return False
        return self.state == "completed" or self.stage in ("validation", "acceptance")

    @property
    def is_accepted(self) -> bool:
        """Whether the job is at its last stage and completed, as CVAT wants it of ground truth."""
        return self.stage == "acceptance" and self.state == "completed"

    def __str__(self) -> str:
        return f"job {self.id} (stage {self.stage}, state {self.state})"


@frozen(kw_only=True)
class TaskMedia:
    """The frames and jobs that a CVAT task had when they were fetched."""

    host: str
    """Address of the CVAT server in this run, without a trailing slash. It is for links: it does
    not identify the server."""
    identity: TaskIdentity
    updated: datetime
    """When the task or its annotations were last changed, by CVAT's clock."""
    name: str
    size: int
    """Number of frames, including deleted ones. If only a job is known: up to its last frame."""
    first: int = 0
    """Number of the first frame that is known. Only of a job it can be above 0."""
    chunk_size: int
    chunk_type: Literal["imageset", "video"]
    """What chunks of original quality contain."""
    data_id: int | None
    chunks_updated_date: str
    """Timestamp as CVAT writes it. It changes when the content of a chunk changes."""
    project_name: str | None
    jobs: tuple[JobRange, ...]
    """Annotation jobs, sorted by first frame. Overlapping jobs share frames."""
    pool_job: JobRange | None = None
    """The ground-truth job of a task with honeypots. Its frames are in no other job."""
    ground_truth_job_id: int | None = None
    """The ground-truth job of a task without honeypots. Its frames are also in annotation jobs and
    are annotated there; the ground-truth job has separate annotations."""
    replica_jobs: tuple[JobRange, ...] = ()
    """Jobs in which other people annotate the same frames, for a consensus. They are annotated only
    if they are selected."""
    deleted_frames: frozenset[int] = field(default=frozenset(), repr=False)
    honeypot_frames: frozenset[int] = field(default=frozenset(), repr=False)
    """Copies of pool frames that CVAT mixed into annotation jobs."""
    names: tuple[str, ...] = field(repr=False)
    """File name of each frame from `first` on; for a video, only the name of the video."""
    sizes: tuple[tuple[int, int], ...] = field(repr=False)
    """Width and height in pixels, one entry per name."""
    _starts: tuple[int, ...] = field(init=False, repr=False, eq=False)

    @_starts.default
    def _first_frames(self) -> tuple[int, ...]:
        return tuple(job.first for job in self.jobs)

    def __str__(self) -> str:
        return f"task {self.task_id} · {self.name}"

    @property
    def task_id(self) -> int:
        return self.identity.task_id

    @property
    def task_url(self) -> str:
        return f"{self.host}/tasks/{self.task_id}"

    @property
    def data_path(self) -> str:
        """Where CVAT offers the images: those of the task, or of the only job that is known."""
        job_id = self.identity.job_id
        return f"/api/tasks/{self.task_id}/data" if job_id is None else f"/api/jobs/{job_id}/data"

    def chunk_query(self, chunk: int) -> dict[str, Any]:
        """Return how CVAT is asked for a chunk. It counts those of a job from the job's start."""
        return {"number" if self.identity.job_id is None else "index": chunk}

    @property
    def frame_count(self) -> int:
        """Number of frames that are known."""
        return self.size - self.first

    @property
    def images_version(self) -> str:
        """Changes when CVAT changes the task's images."""
        return f"{self.data_id} {self.chunks_updated_date}"

    @property
    def all_jobs(self) -> tuple[JobRange, ...]:
        """All jobs except replicas."""
        return (*self.jobs, self.pool_job) if self.pool_job else self.jobs

    @property
    def selectable_jobs(self) -> tuple[JobRange, ...]:
        return (*self.all_jobs, *self.replica_jobs)

    def selected_jobs(self, jobs: Collection[int] | None) -> tuple[JobRange, ...]:
        """Return the jobs with these ids. `jobs=None` means all jobs except replicas."""
        if jobs is None:
            return self.all_jobs
        return tuple(job for job in self.selectable_jobs if job.id in jobs)

    def frame(self, number: int, *, jobs: Collection[int] | None = None) -> Frame:
        """Return a frame by its number, with the jobs that contain it and are in `jobs`.

        `jobs=None` means all jobs except replicas.
        """
        entry = self._entry(number)
        width, height = self.size_of(number)
        return Frame(
            number=number,
            name=self.names[entry],
            width=width,
            height=height,
            chunk=(number - self.first) // self.chunk_size,
            job_ids=self.job_ids_of(number) if jobs is None else self._selected(number, jobs),
        )

    def size_of(self, number: int) -> tuple[int, int]:
        """Return a frame's width and height in pixels."""
        return self.sizes[self._entry(number)]

    def _entry(self, number: int) -> int:
        return max(0, min(number - self.first, len(self.names) - 1))

    def image_sizes(self, frame: Frame) -> tuple[tuple[int, int], ...]:
        """Return the sizes that a frame's image may have. The first is the one that CVAT says."""
        width, height = frame.width, frame.height
        if self.chunk_type != "video":
            return ((width, height),)
        # CVAT stores videos with even sides. The difference is less than a pixel.
        return ((width, height), (width + width % 2, height + height % 2))

    def chunk_frames(self, chunk: int) -> range:
        """Return the numbers of the frames that a chunk contains."""
        first = self.first + chunk * self.chunk_size
        return range(first, min(first + self.chunk_size, self.size))

    def index_in_chunk(self, frame: Frame) -> int:
        """Return how many images of the frame's chunk come before it."""
        return (frame.number - self.first) % self.chunk_size

    def _selected(self, number: int, jobs: Collection[int]) -> tuple[int, ...]:
        replicas = (job.id for job in self.replica_jobs if job.id in jobs and number in job)
        return (*(i for i in self.job_ids_of(number) if i in jobs), *replicas)

    def job_ids_of(self, number: int) -> tuple[int, ...]:
        """Return the ids of the jobs that contain a frame, sorted by the jobs' first frame."""
        found: list[int] = []
        index = bisect_right(self._starts, number) - 1
        # Jobs end in the same order as they begin. So the search can stop at the first job that
        # ends before the frame.
        while index >= 0 and number in self.jobs[index]:
            found.append(self.jobs[index].id)
            index -= 1
        if not found and self.pool_job and number in self.pool_job:
            return (self.pool_job.id,)
        return tuple(reversed(found))

    def frame_url(self, frame: Frame) -> str:
        """Return the address that opens the frame in CVAT's annotation view."""
        if not frame.job_ids:
            return self.task_url
        return f"{self.task_url}/jobs/{frame.job_ids[0]}?frame={frame.number}"
