"""Upload jobs, and upload again what must wait for the outcome of a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime

from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.upload.frames.result import UploadReport

MAX_ROUNDS = 10
"""Rounds after which CVAT counts as unavailable. A round lasts as long as a request may live."""

UploadJob = Callable[[int, Collection[int] | None], UploadReport]
"""Uploads a job's frames with these numbers (None: all frames) with `upload_job`."""


def upload_in_rounds(
    jobs: Iterable[int],
    upload: UploadJob,
    *,
    announce: Callable[[str], None] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[UploadReport]:
    """Upload jobs one by one, then once more the frames that had to wait, until none is left.

    A request without an answer may still be carried out, so its frames cannot be sent again before
    `RetryPolicy.request_lifetime` is over.

    Args:
        jobs: Ids of the jobs.
        upload: Uploads one of them.
        announce: Called with one sentence before each wait.
        sleep: Waits some seconds.

    Yields:
        What each call of `upload` did. A frame is in one report of its job.

    Raises:
        CvatUnavailable: Frames still wait after MAX_ROUNDS rounds, or `upload` raised it.
    """
    waiting: list[UploadReport] = []
    for job_id in jobs:
        report = upload(job_id, None)
        yield report
        waiting += [report] if report.waiting else []
    for _ in range(MAX_ROUNDS):
        if not waiting:
            return
        look_after = max(report.look_after for report in waiting)
        seconds = max(0.0, look_after - time.time())
        announce(f"{_describe(waiting)}; this run looks again in {seconds:.0f} s")
        sleep(seconds)
        again = []
        for earlier in waiting:
            report = upload(earlier.job_id, frozenset(earlier.waiting))
            yield report
            again += [report] if report.waiting else []
        waiting = again
    if waiting:
        when = datetime.fromtimestamp(max(r.look_after for r in waiting), UTC)
        raise CvatUnavailable(f"{_describe(waiting)}; run this again after {when:%H:%M:%S} UTC")


def _describe(waiting: list[UploadReport]) -> str:
    frames = sum(len(report.waiting) for report in waiting)
    jobs = ", ".join(str(report.job_id) for report in waiting[:5])
    more = f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""
    verb = "is" if frames == 1 else "are"
    of = "job" if len(waiting) == 1 else "jobs"
    return (
        f"{counted(frames, 'frame')} of {of} {jobs}{more} {verb} to be looked at again: CVAT did "
        "not answer a request to create their annotations, and may still carry it out"
    )
