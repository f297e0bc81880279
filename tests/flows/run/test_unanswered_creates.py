"""A run waits for what may still become of a create request without an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from tests.flows.conftest import frames_of
from tests.support.prefect_records import log_of

CREATE = {"method": "PATCH", "path": r"/jobs/\d+/annotations$", "query": "action=create"}


@pytest.fixture
def creates_fail(sandbox: SandboxProcess) -> Iterator[Callable[..., None]]:
    yield lambda **rule: sandbox.set_faults([{**CREATE, **rule}])
    sandbox.clear_faults()


@pytest.mark.parametrize("when", ["before", "late"])
def test_the_run_waits_once_for_all_jobs_and_ends_complete(
    make_task: Callable[..., Any],
    annotate_in_prefect: Any,
    creates_fail: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    monkeypatch.setenv("CVAT_FLOWS_REQUEST_LIFETIME", "3")
    task = make_task(6, segment_size=2)
    creates_fail(action="reset", when=when, lateness=1.5, times=2)
    finished = annotate_in_prefect(task)
    assert finished.error is None
    assert finished.report.sentence == "6 of 6 frames annotated"
    assert (finished.report.created, finished.report.kept) == (6, 0)
    assert frames_of(task) == list(range(6))
    log = log_of(finished, last="Finished in state")
    (line,) = [line.message for line in log if "to be looked at again" in line.message]
    first, second, _ = sorted(job.id for job in task.get_jobs())
    assert f"4 frames of jobs {first}, {second} are to be looked at again" in line
    assert annotate_in_prefect(task).report.count("skipped") == 6


def test_a_run_that_cannot_find_out_says_when_to_run_it_again(
    make_task: Callable[..., Any],
    annotate: Any,
    creates_fail: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CVAT_FLOWS_REQUEST_LIFETIME", "0.8")
    monkeypatch.setattr("cvat_flows.tasks.upload.rounds.MAX_ROUNDS", 1)
    task = make_task(2)
    creates_fail(action="reset", when="before", times=None)
    finished = annotate(task)
    assert isinstance(finished.error, CvatUnavailable)
    assert "2 frames of job" in str(finished.error)
    assert "run this again after" in str(finished.error)
    creates_fail(action="none")
    assert annotate(task).report.sentence == "2 of 2 frames annotated"
    assert frames_of(task) == [0, 1]
