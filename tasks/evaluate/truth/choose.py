"""Choose where the truth about a CVAT task comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from attrs import frozen
from cvat_sdk import Client

from cvat_flows.tasks.cvat.job import frames_of_job
from cvat_flows.tasks.cvat.task import fetch_job_states
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.evaluate.truth.jobs import JobToRead, read_jobs
from cvat_flows.tasks.evaluate.truth.truth import Truth
from cvat_flows.tasks.evaluate.truth.untouched import Untouched
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import WHEN_FINISHED, JobState, TaskMedia
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.storage import Storage

TruthSource = Literal["auto", "ground-truth", "finished"]
GROUND_TRUTH = "ground_truth"


@frozen(kw_only=True, eq=False)
class TruthReader:
    """Reads the truth about a CVAT task from its jobs."""

    client: Client
    media: TaskMedia
    labels: Sequence[Label]
    storage: Storage

    def read(self, source: TruthSource, jobs: Collection[int] | None) -> Truth:
        """Read the truth from the given jobs, else from the ground-truth job or finished jobs.

        Raises NoTruth, CvatRefused and CvatUnavailable.
        """
        states = fetch_job_states(self.client, self.media.task_id)
        if jobs is not None:
            return self._of_jobs(states, jobs)
        ground_truth = [job for job in states if job.type == GROUND_TRUTH]
        if source == "ground-truth" or (
            source == "auto" and ground_truth and ground_truth[0].is_accepted
        ):
            return self._of_ground_truth(ground_truth)
        finished = [job for job in states if job.type == "annotation" and job.is_finished]
        if not finished:
            raise NoTruth(self._nothing(ground_truth))
        of_all = sum(job.type == "annotation" for job in states)
        return self._read(
            [self._whole(job) for job in finished],
            f"{counted(len(finished), 'finished job')} out of {of_all}",
        )

    def _of_jobs(self, states: Sequence[JobState], jobs: Collection[int]) -> Truth:
        unknown = sorted(set(jobs) - {job.id for job in states})
        if unknown or not jobs:
            raise NoTruth(
                f"--truth-jobs: task {self.media.task_id} has the jobs "
                f"{_list(job.id for job in states)}, and not {_list(unknown) or 'none'}"
            )
        chosen = [job for job in states if job.id in jobs]
        return self._read(
            [self._whole(job) for job in chosen], f"chosen jobs {_list(j.id for j in chosen)}"
        )

    def _of_ground_truth(self, jobs: Sequence[JobState]) -> Truth:
        if not jobs:
            raise NoTruth(
                f"task {self.media.task_id} has no ground-truth job: create one in CVAT, or leave "
                "out --truth ground-truth"
            )
        if not jobs[0].is_accepted:
            raise NoTruth(
                f"the ground truth of task {self.media.task_id} is not accepted, {jobs[0]}: set "
                "its stage to acceptance and its state to completed in CVAT"
            )
        return self._read([self._whole(jobs[0])], f"ground-truth job {jobs[0].id}")

    def _whole(self, job: JobState) -> JobToRead:
        frames: Collection[int] = range(job.first, job.last + 1)
        if job.type == GROUND_TRUTH:
            frames = frames_of_job(self.client, self.media.task_id, job.id, ground_truth=True)
        trusted = job.is_accepted if job.type == GROUND_TRUTH else job.is_finished
        return JobToRead(state=job, frames=frames, is_trusted=trusted)

    def _read(self, jobs: Sequence[JobToRead], source: str) -> Truth:
        untouched = Untouched(self.storage, self.media.identity, self.labels)
        return read_jobs(self.client, self.media, jobs, source=source, untouched=untouched)

    def _nothing(self, ground_truth: Sequence[JobState]) -> str:
        text = f"task {self.media.task_id}: no job is finished"
        if ground_truth:
            text += f" and the ground truth is not accepted, {ground_truth[0]}"
        return (
            f"{text} ({WHEN_FINISHED}): complete a job in CVAT, or say where the truth is with "
            "--truth-jobs or --truth-file"
        )


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
