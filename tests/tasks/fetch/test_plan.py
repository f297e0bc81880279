from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.fetch.plan import FrameSelectionError, Plan, parse_frames, plan_frames
from cvat_flows.tasks.model.media import TaskMedia
from tests.tasks.fetch.media_factory import make_media


def numbers(plan: Plan) -> list[list[int]]:
    return [[frame.number for frame in batch.frames] for batch in plan.batches]


def flat(plan: Plan) -> list[int]:
    return [frame.number for frame in plan.frames]


def skipped(plan: Plan) -> dict[int, str | None]:
    return {outcome.frame.number: outcome.skipped for outcome in plan.skipped}


# -- frame ranges ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, list(range(10))),
        ("3", [3]),
        ("0-2", [0, 1, 2]),
        ("7-", [7, 8, 9]),
        ("9-", [9]),
        ("5,0-2,1-3", [0, 1, 2, 3, 5]),
        (" 1 - 2 , 4 ", [1, 2, 4]),
        ("007", [7]),
    ],
)
def test_frame_ranges(text: str | None, expected: list[int]) -> None:
    assert parse_frames(text, size=10) == expected


@pytest.mark.parametrize(
    "text", ["", ",", "1,", "a", "-3", "1--2", "1-2-3", "1.5", "1 2", "0x1", "٣"]
)
def test_malformed_frame_ranges_are_quoted_and_explained(text: str) -> None:
    with pytest.raises(FrameSelectionError, match="such as 0-20,30,45-") as caught:
        parse_frames(text, size=10)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "missing"), [("10", 10), ("5-12", 10), ("12-", 12), ("12-14", 12), ("0,99", 99)]
)
def test_frames_outside_the_task_are_named(text: str, missing: int) -> None:
    with pytest.raises(FrameSelectionError, match=rf"task 5 has the frames 0 to 9.* {missing}$"):
        parse_frames(text, size=10, what="task 5")


def test_a_backward_range_is_turned_round_for_the_reader() -> None:
    with pytest.raises(FrameSelectionError, match="write 2-5"):
        parse_frames("5-2", size=10)


@given(st.sets(st.integers(0, 40), min_size=1))
def test_any_set_of_frames_can_be_written_and_read(wanted: set[int]) -> None:
    assert parse_frames(",".join(map(str, wanted)), size=41) == sorted(wanted)


# -- batches --------------------------------------------------------------------------------


def test_batches_end_at_jobs_chunks_and_the_limit() -> None:
    media = make_media(12, chunk_size=5, segments=[(0, 6), (7, 11)])
    assert numbers(plan_frames(media)) == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9], [10, 11]]
    assert numbers(plan_frames(media, frames_per_run=2))[:4] == [[0, 1], [2, 3], [4], [5, 6]]
    assert numbers(plan_frames(media, frames_per_run=4))[0] == [0, 1, 2]
    one_each = plan_frames(media, frames_per_run=1)
    assert numbers(one_each) == [[n] for n in range(12)]
    assert [batch.index for batch in one_each.batches] == list(range(12))


def test_a_frame_of_overlapping_jobs_is_detected_once_and_knows_both_jobs() -> None:
    media = make_media(8, chunk_size=8, segments=[(0, 4), (3, 7)])
    plan = plan_frames(media)
    assert numbers(plan) == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert {f.number: f.job_ids for f in plan.frames if len(f.job_ids) > 1} == {
        3: (100, 101),
        4: (100, 101),
    }


def test_jobs_narrow_the_frames_and_where_they_go() -> None:
    media = make_media(8, chunk_size=8, segments=[(0, 4), (3, 7)])
    plan = plan_frames(media, jobs=[101])
    assert numbers(plan) == [[3, 4, 5, 6, 7]]
    assert {frame.job_ids for frame in plan.frames} == {(101,)}
    assert numbers(plan_frames(media, jobs=[101], frames="0-3,7")) == [[3, 7]]


def test_an_unknown_job_is_answered_with_the_known_ones() -> None:
    media = make_media(8, segments=[(0, 4), (5, 7)])
    with pytest.raises(FrameSelectionError, match=r"task 5 .* jobs 100, 101; 7 is not among them"):
        plan_frames(media, jobs=[100, 7])
    with pytest.raises(FrameSelectionError, match="no job is named"):
        plan_frames(media, jobs=[])


def test_a_ground_truth_job_is_no_job_to_annotate() -> None:
    media = make_media(4, ground_truth=True)
    assert numbers(plan_frames(media)) == [[0, 1, 2, 3]]
    with pytest.raises(FrameSelectionError, match="job 90 is its ground-truth job"):
        plan_frames(media, jobs=[90])


def test_frames_and_jobs_that_do_not_meet_are_an_error() -> None:
    media = make_media(8, segments=[(0, 3), (4, 7)])
    with pytest.raises(FrameSelectionError, match=r"none of the frames '5' .* jobs 100"):
        plan_frames(media, frames="5", jobs=[100])


def test_frames_per_run_is_at_least_one() -> None:
    with pytest.raises(FrameSelectionError, match="at least 1"):
        plan_frames(make_media(), frames_per_run=0)


def test_what_is_left_out_says_why() -> None:
    media = make_media(12, segments=[(0, 4), (5, 9)], pool=(10, 11), honeypots=[2, 7], deleted=[0])
    plan = plan_frames(media, annotated={0, 1, 2, 4}, done={3, 1})
    assert skipped(plan) == {
        0: "deleted in CVAT",
        1: "done before",
        2: "honeypot",
        3: "done before",
        4: "has annotations",
        7: "honeypot",
        10: "ground truth",
        11: "ground truth",
    }
    assert flat(plan) == [5, 6, 8, 9]


def test_ground_truth_and_honeypots_are_annotated_when_asked_for() -> None:
    media = make_media(12, segments=[(0, 4), (5, 9)], pool=(10, 11), honeypots=[2, 7])
    plan = plan_frames(media, include_ground_truth=True)
    assert flat(plan) == list(range(12))
    assert plan.frames[-1].job_ids == (90,)


def test_everything_deleted_is_a_plan_without_batches() -> None:
    plan = plan_frames(make_media(2, deleted=[0, 1]))
    assert plan.batches == ()
    assert plan.frame_count == 0
    assert set(skipped(plan)) == {0, 1}


def test_huge_images_make_small_batches() -> None:
    media = make_media(6, chunk_size=6, pixels=(7_000, 7_000))
    assert numbers(plan_frames(media)) == [[0, 1], [2, 3], [4, 5]]
    assert numbers(plan_frames(make_media(2, chunk_size=6, pixels=(40_000, 40_000)))) == [[0], [1]]


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
    plan = plan_frames(make_media(chunk, chunk_size=chunk), frames_per_run=frames_per_run)
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
def test_the_model_has_a_few_frames_soon(size: int, per_run: int, expected: list[int]) -> None:
    plan = plan_frames(make_media(size, chunk_size=72), frames_per_run=per_run)
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
    jobs = pick.draw(st.none() | st.sets(st.sampled_from(media.all_job_ids), min_size=1))
    plan = plan_frames(
        media, jobs=jobs, frames_per_run=frames_per_run, done=done, annotated=annotated
    )
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
