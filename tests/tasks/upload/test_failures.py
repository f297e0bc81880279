"""Failures that repeat: when they add up, and when a frame is set aside."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.record.failures import (
    MAX_EQUAL_FAILURES,
    count_failures,
    is_set_aside,
    kind_of,
)
from cvat_flows.tasks.record.manifest_file import FrameRecord, RunStamp
from tests.support.faults import Fault
from tests.tasks.upload.upload_bench import Bench

RUN = RunStamp(id="run-1", fingerprint="f1", parameters="p1", images="1 monday")
FAILURE = Failure(step="detect", error="frame 5 took 12.3 s", error_type="ValueError")


def failed(times: int, run: RunStamp = RUN, failure: Failure = FAILURE) -> FrameRecord:
    return FrameRecord(state="failed", run=run, failure=kind_of(failure), failures=times)


def test_equal_failures_of_different_runs_add_up() -> None:
    later = evolve(RUN, id="run-2", name="other", started="tuesday")
    other_text = evolve(FAILURE, error="frame 5 took 99.9 s")
    assert count_failures(None, RUN, FAILURE) == 1
    assert count_failures(failed(2), later, other_text) == 3
    # An upload that Prefect repeats writes its record again.
    assert count_failures(failed(2), RUN, FAILURE) == 2
    # The run before was interrupted while it uploaded; it had kept the count.
    assert count_failures(evolve(failed(2), state="pending"), later, FAILURE) == 3


@pytest.mark.parametrize(
    ("run", "failure"),
    [
        ({"fingerprint": "f2"}, {}),
        ({"parameters": "p2"}, {}),
        ({"images": "1 tuesday"}, {}),
        ({}, {"step": "validate"}),
        ({}, {"error_type": "KeyError"}),
    ],
)
def test_what_ends_a_row_of_failures(run: dict[str, str], failure: dict[str, Any]) -> None:
    later = evolve(RUN, id="run-2", **run)
    assert count_failures(failed(2), later, evolve(FAILURE, **failure)) == 1
    if run:
        assert not is_set_aside(failed(MAX_EQUAL_FAILURES), later)


def test_a_frame_is_set_aside_after_three_equal_failures() -> None:
    assert not is_set_aside(None, RUN)
    assert not is_set_aside(failed(MAX_EQUAL_FAILURES - 1), RUN)
    assert is_set_aside(failed(MAX_EQUAL_FAILURES), evolve(RUN, id="run-9"))
    assert not is_set_aside(evolve(failed(MAX_EQUAL_FAILURES), state="pending"), RUN)


def test_the_manifest_counts_failures_in_any_step(bench: Bench, with_faults: Any) -> None:
    """Frame 0 fails before the upload. CVAT refuses frame 1, which is `pending` in between."""
    no = Fault(action="status_before", status=400)
    faulty = with_faults(lambda index, action, exchange: no if action == "create" else None)
    outcomes = (evolve(bench.outcome(0), annotations=None, failure=FAILURE),)
    outcomes += (bench.outcome(1, bench.box(1)),)
    for attempt in range(1, MAX_EQUAL_FAILURES + 1):
        bench.upload(*outcomes, run=f"run-{attempt}", client=faulty.client)
        book = bench.manifest(f"run-{attempt + 1}")
        records = [book.record(bench.jobs[0].id, number) for number in (0, 1)]
        assert [(one.failures, one.failure) for one in records if one] == [
            (attempt, "detect ValueError"),
            (attempt, "upload UploadRefused"),
        ]
        aside = attempt == MAX_EQUAL_FAILURES
        assert [book.is_set_aside(bench.frame(n)) for n in (0, 1, 2)] == [aside, aside, False]
    bench.upload(bench.outcome(0), outcomes[1], run="run-9")
    assert not any(bench.manifest("x").is_set_aside(bench.frame(n)) for n in (0, 1))
    record = bench.manifest("x").record(bench.jobs[0].id, 1)
    assert record
    assert (record.state, record.failures) == ("annotated", 0)
