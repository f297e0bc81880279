"""The order in which jobs are best corrected."""

from __future__ import annotations

from cvat_flows.tasks.evaluate.corrections import RankedJob
from cvat_flows.tasks.evaluate.queue.order import order_jobs
from cvat_flows.tasks.model.media import JobState


def job(number: int, *, state: str = "new", kind: str = "annotation") -> JobState:
    first = number * 10
    return JobState(
        id=number, type=kind, first=first, last=first + 9, stage="annotation", state=state
    )


def test_most_corrections_for_each_frame_come_first() -> None:
    states = [job(1), job(2), job(3, state="completed"), job(4, state="rejected"), job(5), job(6)]
    frames = {1: 10, 2: 2, 3: 10, 4: 10, 5: 10}  # of job 6 no frame was looked at
    jobs_of = {n * 10 + k: n for n, count in frames.items() for k in range(count)}
    ranked = [
        RankedJob(job_id=number, frames=frames[number], corrections=corrections)
        for number, corrections in ((1, 5.0), (2, 2.0), (3, 90.0), (4, 7.0))
    ]
    order = order_jobs(ranked, jobs_of, states)
    assert [(one.place, one.job_id, one.mean) for one in order] == [
        (1, 2, 1.0),
        (2, 4, 0.7),
        (3, 1, 0.5),
        (4, 5, 0.0),
    ]
