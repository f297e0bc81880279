"""Which frames and jobs a selection names, and what is wrong with one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.fetch.plan import plan_frames
from cvat_flows.tasks.fetch.selection import FrameSelectionError, check_jobs, parse_frames
from tests.tasks.fetch.media_factory import make_media


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
        parse_frames(text, size=10, subject="task 5")


def test_a_backward_range_is_corrected_in_the_error() -> None:
    with pytest.raises(FrameSelectionError, match="write 2-5"):
        parse_frames("5-2", size=10)


@given(st.sets(st.integers(0, 40), min_size=1))
def test_any_set_of_frames_can_be_written_and_read(wanted: set[int]) -> None:
    assert parse_frames(",".join(map(str, wanted)), size=41) == sorted(wanted)


def test_unknown_jobs_are_answered_with_the_known_ones() -> None:
    media = make_media(8, segments=[(0, 4), (5, 7)])
    with pytest.raises(FrameSelectionError, match=r"task 5 .* jobs 100, 101; 7 is not among them"):
        check_jobs(media, [100, 7])
    with pytest.raises(FrameSelectionError, match=r"jobs 100, 101; 7, 8 are not among them"):
        check_jobs(media, [7, 8])
    with pytest.raises(FrameSelectionError, match="no job is selected"):
        check_jobs(media, [])


def test_known_jobs_are_returned() -> None:
    media = make_media(8, segments=[(0, 4), (5, 7)])
    assert check_jobs(media, [101, 100]) == {100, 101}
    assert check_jobs(media, None) is None


def test_a_ground_truth_job_is_not_annotated() -> None:
    media = make_media(4, ground_truth=True)
    assert plan_frames(media, frames_per_run=72).frame_count == 4
    with pytest.raises(FrameSelectionError, match="job 90 is its ground-truth job"):
        check_jobs(media, [90])


def test_frames_outside_the_selected_jobs_are_an_error() -> None:
    media = make_media(8, segments=[(0, 3), (4, 7)])
    with pytest.raises(FrameSelectionError, match=r"none of the frames '5' .* jobs 100"):
        plan_frames(media, frames_per_run=72, frames="5", jobs=[100])
