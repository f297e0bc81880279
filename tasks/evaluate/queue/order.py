"""The order in which jobs are best corrected."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from cvat_flows.tasks.evaluate.corrections import RankedJob
from cvat_flows.tasks.model.media import JobState


@frozen(kw_only=True)
class QueuedJob:
    """A job that a person should work on, at its place in the queue."""

    place: int
    """From 1."""
    job_id: int
    frames: int
    """Frames that were looked at."""
    corrections: float
    """Corrections to expect."""
    assignee: str
    """Name of the user who works on it; "" for nobody."""
    stage: str
    state: str

    @property
    def mean(self) -> float:
        """Corrections to expect for each frame."""
        return self.corrections / self.frames if self.frames else 0.0


def order_jobs(
    ranked: Collection[RankedJob], jobs_of: Mapping[int, int], states: Sequence[JobState]
) -> list[QueuedJob]:
    """Return the unfinished jobs, those with most corrections for each frame first.

    A person who reads a frame then finds as much as possible. Finished jobs are left out, and
    so are jobs of which no frame was looked at.

    Args:
        ranked: The jobs with corrections.
        jobs_of: The job of each frame that was looked at.
        states: All jobs of the task.
    """
    frames: dict[int, int] = {}
    for job in jobs_of.values():
        frames[job] = frames.get(job, 0) + 1
    corrections = {job.job_id: job.corrections for job in ranked}
    waiting = [job for job in states if job.id in frames and not job.is_finished]
    waiting.sort(key=lambda job: (-corrections.get(job.id, 0.0) / frames[job.id], job.first))
    return [
        QueuedJob(
            place=place,
            job_id=job.id,
            frames=frames[job.id],
            corrections=corrections.get(job.id, 0.0),
            assignee=job.assignee,
            stage=job.stage,
            state=job.state,
        )
        for place, job in enumerate(waiting, 1)
    ]
