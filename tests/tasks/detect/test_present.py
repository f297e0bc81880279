"""What is on the frames: kept on disk, in one order, without what the function has uploaded."""

from __future__ import annotations

import tracemalloc
from contextlib import closing

import pytest

from cvat_flows.tasks.detect.present import PresentAnnotations, is_own
from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp
from cvat_flows.tasks.record.ownership import ManifestItem

CAR = ["car", "rectangle", [1.0, 2.0, 3.0, 4.0], 0.0, False, False, [["colour", "red"]], []]
DOG = ["dog", "tag", [], 0.0, False, False, [], []]


def frame(number: int) -> Frame:
    return Frame(number=number, name="a.jpg", width=9, height=9, chunk=0, job_ids=(1, 2))


def test_the_order_and_copies_in_other_jobs_do_not_count() -> None:
    with closing(PresentAnnotations()) as one, closing(PresentAnnotations()) as other:
        for facts in (CAR, DOG):
            one.add(3, facts)
        for facts in (DOG, CAR, CAR):
            other.add(3, facts)
        assert [found.label for found in one.of(frame(3))] == ["car", "dog"]
        assert one.of(frame(3)) == other.of(frame(3))
        assert one.digest(frame(3)) == other.digest(frame(3))
        assert one.of(frame(4)) == ()
        assert one.digest(frame(4)) != one.digest(frame(3))
        (car, _) = one.of(frame(3))
        assert (car.points, dict(car.attributes)) == ((1, 2, 3, 4), {"colour": "red"})


def test_little_of_a_large_job_is_in_memory() -> None:
    polygon = ["car", "polygon", [n + 0.5 for n in range(200)], 0.0, False, False, [], []]
    with closing(PresentAnnotations()) as present:
        tracemalloc.start()
        try:
            for number in range(10_000):
                present.add(number // 20, polygon)
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(present.of(frame(499))) == 1
    assert used < 2e6  # as text they are 12 MB


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"items": (ManifestItem(id=7, digest="s1", run="r"),)}, True),
        ({"deleting": (ManifestItem(id=7, digest="s1", run="r"),)}, True),
        ({"pending": ("s1",)}, True),  # the run ended before it knew the ids
        ({"doubtful": ("s1",)}, True),
        ({"items": (ManifestItem(id=7, digest="s2", run="r"),)}, False),  # a person changed it
        ({"items": (ManifestItem(id=8, digest="s1", run="r"),)}, False),  # a person's copy
        ({"items": (ManifestItem(id=7, digest="s1", run=None),)}, False),  # it was there before
        ({}, False),
    ],
)
def test_what_the_function_has_uploaded(fields: dict[str, object], expected: bool) -> None:
    record = FrameRecord(state="annotated", run=RunStamp(id="r"), **fields)  # type: ignore[arg-type]
    assert is_own(7, "s1", record) is expected
    assert is_own(7, "s1", None) is False
