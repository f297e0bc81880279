"""Which frames are annotated, in which batches, and which are skipped."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.fetch.plan import Plan, plan_frames, with_last
from cvat_flows.tasks.fetch.selection import FrameSelectionError
from cvat_flows.tasks.model.media import TaskMedia
from tests.tasks.fetch.media_factory import make_media


def plan_of(media: TaskMedia, *, frames_per_run: int = 72, **options: Any) -> Plan:
    return plan_frames(media, frames_per_run=frames_per_run, **options)


def numbers(plan: Plan) -> list[list[int]]:
    return [[frame.number for frame in batch.frames] for batch in plan.batches]


def flat(plan: Plan) -> list[int]:
    return [frame.number for frame in plan.frames]


def skipped(plan: Plan) -> dict[int, str | None]:
    return {outcome.frame.number: outcome.skipped for outcome in plan.skipped}


def test_batches_end_at_jobs_and_chunks_and_after_frames_per_run() -> None:
    media = make_media(12, chunk_size=5, segments=[(0, 6), (7, 11)])
    assert numbers(plan_of(media)) == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9], [10, 11]]
    assert numbers(plan_of(media, frames_per_run=2))[:4] == [[0, 1], [2, 3], [4], [5, 6]]
    assert numbers(plan_of(media, frames_per_run=4))[0] == [0, 1, 2]
    one_each = plan_of(media, frames_per_run=1)
    assert numbers(one_each) == [[n] for n in range(12)]
    assert [batch.index for batch in one_each.batches] == list(range(12))


def test_some_frames_come_last_in_batches_and_some_alone() -> None:
    media = make_media(12, chunk_size=5, segments=[(0, 6), (7, 11)])
    plan = with_last(plan_of(media), {1, 2, 4, 5, 6}, {3, 11})
    assert numbers(plan) == [[0], [7, 8, 9], [10], [1, 2, 4], [5, 6]]
    assert [[frame.number for frame in batch.frames] for batch in plan.last] == [[3], [11]]
    assert [batch.index for batch in (*plan.batches, *plan.last)] == list(range(7))
    assert sorted(flat(plan)) == list(range(12))
    unchanged = plan_of(media)
    assert with_last(unchanged, {77}, ()) is unchanged


def test_a_frame_of_overlapping_jobs_is_detected_once_and_knows_both_jobs() -> None:
    media = make_media(8, chunk_size=8, segments=[(0, 4), (3, 7)])
    plan = plan_of(media)
    assert numbers(plan) == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert {f.number: f.job_ids for f in plan.frames if len(f.job_ids) > 1} == {
        3: (100, 101),
        4: (100, 101),
    }


def test_only_the_selected_jobs_are_annotated() -> None:
    media = make_media(8, chunk_size=8, segments=[(0, 4), (3, 7)])
    plan = plan_of(media, jobs=[101])
    assert numbers(plan) == [[3, 4, 5, 6, 7]]
    assert {frame.job_ids for frame in plan.frames} == {(101,)}
    assert numbers(plan_of(media, jobs=[101], frames="0-3,7")) == [[3, 7]]


def test_frames_per_run_is_at_least_one() -> None:
    with pytest.raises(FrameSelectionError, match="at least 1"):
        plan_of(make_media(), frames_per_run=0)


def test_skipped_frames_have_a_reason() -> None:
    media = make_media(12, segments=[(0, 4), (5, 9)], pool=(10, 11), honeypots=[2, 7], deleted=[0])
    plan = plan_of(media, annotated={0, 1, 2, 4}, done={3, 1})
    assert skipped(plan) == {
        0: "deleted in CVAT",
        1: "done before",
        2: "honeypot",
        3: "done before",
        4: "already annotated",
        7: "honeypot",
        10: "ground truth",
        11: "ground truth",
    }
    assert flat(plan) == [5, 6, 8, 9]


def test_ground_truth_and_honeypots_are_annotated_on_request() -> None:
    media = make_media(12, segments=[(0, 4), (5, 9)], pool=(10, 11), honeypots=[2, 7])
    plan = plan_of(media, include_ground_truth=True)
    assert flat(plan) == list(range(12))
    assert plan.frames[-1].job_ids == (90,)


def test_a_plan_without_frames_has_no_batches() -> None:
    plan = plan_of(make_media(2, deleted=[0, 1]))
    assert plan.batches == ()
    assert plan.frame_count == 0
    assert set(skipped(plan)) == {0, 1}


def test_huge_images_make_small_batches() -> None:
    media = make_media(6, chunk_size=6, sizes=[(7_000, 7_000)])
    assert numbers(plan_of(media)) == [[0, 1], [2, 3], [4, 5]]
    assert numbers(plan_of(make_media(2, chunk_size=6, sizes=[(40_000, 40_000)]))) == [[0], [1]]


@pytest.mark.parametrize(
    ("chunk", "frames_per_run", "lengths"),
    [
        (36, 32, [36]),
        (72, 32, [36, 36]),
        (37, 32, [19, 18]),
        (64, 32, [32, 32]),
        (10, 7, [5, 5]),
        (9, 8, [9]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_the_batches_of_a_chunk_are_equally_long(
    chunk: int, frames_per_run: int, lengths: list[int]
) -> None:
    plan = plan_of(make_media(chunk, chunk_size=chunk), frames_per_run=frames_per_run)
    assert [len(batch.frames) for batch in plan.batches] == lengths


@pytest.mark.parametrize(
    ("size", "per_run", "expected"),
    [
        (150, 72, [12, 60, 72, 6]),
        (60, 72, [12, 48]),
        (47, 72, [47]),
        (150, 36, [36, 36, 36, 36, 6]),
        (150, 100, [12, 60, 72, 6]),
    ],
)
def test_the_first_batch_of_a_run_is_shorter(size: int, per_run: int, expected: list[int]) -> None:
    plan = plan_of(make_media(size, chunk_size=72), frames_per_run=per_run)
    assert [len(batch) for batch in numbers(plan)] == expected
    assert flat(plan) == list(range(size))


@st.composite
def tasks(draw: st.DrawFn) -> TaskMedia:
    size = draw(st.integers(1, 60))
    segment = draw(st.integers(1, size))
    overlap = draw(st.integers(0, segment // 2))
    step = segment - overlap
    segments = []
    for first in range(0, size, step):
        segments.append((first, min(first + segment, size) - 1))
        if segments[-1][1] == size - 1:
            break
    return make_media(
        size,
        chunk_size=draw(st.integers(1, 20)),
        segments=segments,
        deleted=draw(st.sets(st.integers(0, size - 1), max_size=5)),
        honeypots=draw(st.sets(st.integers(0, size - 1), max_size=5)),
    )


@given(
    media=tasks(),
    frames_per_run=st.integers(1, 40),
    done=st.sets(st.integers(0, 59)),
    annotated=st.sets(st.integers(0, 59)),
    pick=st.data(),
)
def test_every_frame_is_in_one_batch_or_skipped(
    media: TaskMedia,
    frames_per_run: int,
    done: set[int],
    annotated: set[int],
    pick: st.DataObject,
) -> None:
    ids = [job.id for job in media.all_jobs]
    jobs = pick.draw(st.none() | st.sets(st.sampled_from(ids), min_size=1))
    plan = plan_of(media, jobs=jobs, frames_per_run=frames_per_run, done=done, annotated=annotated)
    planned = flat(plan)
    wanted = [
        n for n in range(media.size) if any(n in j for j in media.jobs if not jobs or j.id in jobs)
    ]
    assert planned == sorted(set(planned))
    assert sorted(planned + list(skipped(plan))) == wanted
    assert not set(planned) & (media.deleted_frames | media.honeypot_frames | done | annotated)
    ranges = {job.id: job for job in media.jobs}
    for batch in plan.batches:
        assert 1 <= len(batch.frames) <= frames_per_run + frames_per_run // 8
        assert {frame.chunk for frame in batch.frames} == {batch.chunk}
        for frame in batch.frames:
            assert frame.number in ranges[batch.job_id]
            assert frame.chunk == frame.number // media.chunk_size
            assert frame.job_ids == tuple(
                job.id
                for job in media.jobs
                if frame.number in job and (jobs is None or job.id in jobs)
            )
    for place, found in groupby(plan.batches, key=lambda batch: (batch.job_id, batch.chunk)):
        lengths = [len(batch.frames) for batch in found]
        assert max(lengths) - min(lengths) <= 1
        assert len(lengths) == 1 or (len(lengths) - 1) * frames_per_run < sum(lengths), place
