from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from cvat_flows.tasks.model.frames import Batch, Outcome
from cvat_flows.tasks.upload.spool import OutcomeSpool
from tests.tasks.fetch.media_factory import make_media

MEDIA = make_media()


def batch_of(index: int, *numbers: int) -> Batch:
    return Batch(index=index, frames=tuple(MEDIA.frame(number) for number in numbers))


def outcomes_of(batch: Batch, content_hash: str = "a") -> list[Outcome]:
    return [Outcome(frame=frame, content_hash=content_hash) for frame in batch.frames]


def test_outcomes_come_back_in_order_and_the_last_word_counts() -> None:
    spool = OutcomeSpool()
    first, second = batch_of(0, 0, 1), batch_of(1, 2, 3)
    spool.write(second, outcomes_of(second))
    spool.write(first, outcomes_of(first))
    spool.write(second, outcomes_of(second, "later"))
    assert list(spool) == [*outcomes_of(first), *outcomes_of(second, "later")]
    job_id = MEDIA.frame(0).job_ids[0]
    wanted = [n for n in range(4) if job_id in MEDIA.frame(n).job_ids]
    assert [outcome.frame.number for outcome in spool.of_job(job_id)] == wanted
    spool.close()


def test_nothing_is_left_of_a_run_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = OutcomeSpool()
    batch = batch_of(0, 0, 1)
    spool.write(batch, outcomes_of(batch))
    assert list(spool) == outcomes_of(batch)
    assert list(tmp_path.iterdir()) == []
    spool.close()


def test_an_empty_spool_closes() -> None:
    spool = OutcomeSpool()
    assert list(spool) == []
    spool.close()


def test_threads_that_read_do_not_disturb_each_other() -> None:
    spool = OutcomeSpool()
    batches = [batch_of(n, n) for n in range(4)]
    for batch in batches:
        spool.write(batch, outcomes_of(batch, str(batch.index) * 10_000))
    expected = [o for batch in batches for o in outcomes_of(batch, str(batch.index) * 10_000)]
    seen: list[list[Outcome]] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(list(spool) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 80
    spool.close()
