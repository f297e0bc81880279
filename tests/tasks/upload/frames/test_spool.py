"""Outcomes on disk until the upload."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from cvat_flows.tasks.model.frames import Batch, Outcome
from cvat_flows.tasks.upload.frames.spool import OutcomeSpool
from tests.tasks.fetch.media_factory import make_media

MEDIA = make_media()
JOB = MEDIA.frame(0).job_ids[0]


def batch_of(index: int, *numbers: int) -> Batch:
    return Batch(index=index, frames=tuple(MEDIA.frame(number) for number in numbers))


def outcomes_of(batch: Batch, content_hash: str = "a") -> list[Outcome]:
    return [Outcome(frame=frame, content_hash=content_hash) for frame in batch.frames]


def test_outcomes_come_back_in_order_and_the_last_write_counts() -> None:
    spool = OutcomeSpool()
    first, second = batch_of(0, 0, 1), batch_of(1, 2, 3)
    spool.write(second, outcomes_of(second))
    spool.write(first, outcomes_of(first))
    spool.write(second, outcomes_of(second, "later"))
    assert list(spool.of_job(JOB)) == [*outcomes_of(first), *outcomes_of(second, "later")]
    spool.close()


def test_a_job_gets_the_outcomes_of_its_frames() -> None:
    media = make_media(segments=[(0, 2), (2, 5)])
    spool = OutcomeSpool()
    batch = Batch(index=0, frames=tuple(media.frame(number) for number in range(6)))
    spool.write(batch, outcomes_of(batch))
    numbers = [[o.frame.number for o in spool.of_job(job.id)] for job in media.jobs]
    assert numbers == [[0, 1, 2], [2, 3, 4, 5]]
    spool.close()


def test_a_killed_run_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = OutcomeSpool()
    batch = batch_of(0, 0, 1)
    spool.write(batch, outcomes_of(batch))
    assert list(spool.of_job(JOB)) == outcomes_of(batch)
    assert list(tmp_path.iterdir()) == []
    spool.close()


def test_an_empty_spool_closes() -> None:
    spool = OutcomeSpool()
    assert list(spool.of_job(JOB)) == []
    spool.close()


def test_threads_that_read_do_not_disturb_each_other() -> None:
    spool = OutcomeSpool()
    batches = [batch_of(n, n) for n in range(4)]
    for batch in batches:
        spool.write(batch, outcomes_of(batch, str(batch.index) * 10_000))
    expected = [o for batch in batches for o in outcomes_of(batch, str(batch.index) * 10_000)]
    seen: list[list[Outcome]] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(list(spool.of_job(JOB)) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 80
    spool.close()
