from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import FlowRun

from aa_functions.reference import FunctionReference, LoadedFunction
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.split import helpers
from cvat_flows.flows.split.parts import as_ranges, frames_option, split_plan
from cvat_flows.flows.split.split import split_detection
from cvat_flows.tasks.engine.current import use_engine
from cvat_flows.tasks.engine.recorded import RecordedEngine
from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.fetch.selection import parse_frames
from cvat_flows.tasks.model.frames import Batch, Frame


def plan_of(job_sizes: list[int], frames_per_run: int = 4) -> Plan:
    batches: list[Batch] = []
    number = 0
    for job, size in enumerate(job_sizes, 1):
        frames = [
            Frame(number=number + n, name="x", width=1, height=1, chunk=0, job_ids=(job,))
            for n in range(size)
        ]
        number += size
        for first in range(0, size, frames_per_run):
            part = tuple(frames[first : first + frames_per_run])
            batches.append(Batch(index=len(batches), frames=part))
    return Plan(batches=tuple(batches), skipped=())


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 8))
def test_parts_cover_the_plan_once_in_order(job_sizes: list[int], count: int) -> None:
    parts = split_plan(plan_of(job_sizes), count)
    assert len(parts) <= count
    assert [n for part in parts for n in part.frames] == list(range(sum(job_sizes)))
    assert [job for part in parts for job in part.jobs] == list(range(1, len(job_sizes) + 1))


@given(st.integers(1, 40), st.integers(1, 8))
def test_equal_jobs_make_equal_parts(jobs: int, count: int) -> None:
    sizes = [len(part.jobs) for part in split_plan(plan_of([5] * jobs), count)]
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == min(jobs, count)


def test_nothing_to_do_makes_no_parts() -> None:
    assert split_plan(Plan(batches=(), skipped=()), 4) == []


@given(st.sets(st.integers(0, 60), min_size=1))
def test_ranges_are_read_back(numbers: set[int]) -> None:
    assert parse_frames(as_ranges(list(numbers)), size=61) == sorted(numbers)


def test_too_many_ranges_become_one_range() -> None:
    assert frames_option([3, 4, 9]) == "3-4,9"
    assert frames_option(range(7, 200_000, 2)) == "7-199999"


def test_helpers_are_cancelled_if_one_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[str] = []
    asked: list[FlowRun] = []
    called_off: list[Any] = []

    def run_deployment(name: str, *, idempotency_key: str, **options: Any) -> FlowRun:
        if asked:
            raise ConnectionError("Prefect is gone")
        keys.append(idempotency_key)
        asked.append(FlowRun(id=uuid4(), flow_id=uuid4()))
        return asked[-1]

    monkeypatch.setattr(helpers, "run_deployment", run_deployment)
    monkeypatch.setattr(
        helpers, "cancel_helpers", lambda runs, *, running: called_off.append(([*runs], running))
    )
    function = LoadedFunction(
        function=None,
        reference=FunctionReference(file=Path("f.py")),
        fingerprint="f",
        title="f",
        name="f",
    )
    parameters = AnnotateTaskParameters(task_id=5, function="f.py", split="jobs", split_runs=2)
    context: Any = SimpleNamespace(function=function, parameters=parameters)
    report: Any = None
    with (
        use_engine(RecordedEngine()),
        pytest.raises(ConnectionError),
        split_detection(context, plan_of([1] * 1500), report),
    ):
        raise AssertionError("it was to fail before")
    assert called_off == [(asked, True)]
    # PostgreSQL cannot index texts of more than 2,700 bytes.
    assert len(keys[0]) < 100
