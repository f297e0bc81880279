"""Frames are ranked by the doubts that detections raise, without a truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.evaluation.parameters import RankFramesParameters
from cvat_flows.flows.in_process import rank_here
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.tasks.evaluate.errors import NoTruth
from cvat_flows.tasks.evaluate.queue.issues import MadeIssues
from cvat_flows.tasks.reports.evaluation.ranking import (
    RankingReport,
    jobs_csv,
    ranking_csv,
    ranking_markdown,
)
from tests.flows.evaluation.conftest import finish

A, B = (0, 0, 10, 10), (20, 0, 40, 20)
SURE = [("car", A, 0.9)]


@pytest.fixture
def rank(client: Client, storage_folder: Path) -> Callable[..., RankingReport]:
    """`rank(task, options...)` without Prefect."""

    def run(task: Any, **options: Any) -> RankingReport:
        parameters = RankFramesParameters(task_id=task.id, **options)
        return rank_here(parameters, LiveInputs(client=client))

    return run


def test_doubtful_frames_come_first(
    make_task: Callable[..., Any], plant: Any, rank: Callable[..., RankingReport]
) -> None:
    task = make_task(6, labels=["car", "dog"], segment_size=3)
    found: dict[int, Any] = dict.fromkeys(range(6), SURE)
    found[2] = []  # gone between the frames 1 and 3
    found[4] = [*SURE, ("car", B, 0.45)]  # unsure, below the threshold
    report = rank(task, conf_threshold=0.5, lowest_score=0.1, **plant(found))
    assert [(one.frame, one.reasons) for one in report.ranked] == [
        (2, ("1 gone",)),
        (4, ("1 unsure",)),
    ]
    assert [job.corrections for job in report.jobs] == [1, 0.5]
    assert report.sentence == "2 of 6 frames may need corrections"
    page = ranking_markdown(report)
    assert f"jobs/{report.jobs[0].job_id}?frame=2" in page
    assert f"| 1 | [job {report.jobs[0].job_id}](" in page
    assert jobs_csv(report).startswith(b"place,job,frames,corrections,assignee")
    assert ranking_csv(report.media, report.ranked).startswith(b"frame,name,corrections")


def test_what_only_one_of_two_functions_detects(
    make_task: Callable[..., Any], plant: Any, rank: Callable[..., RankingReport]
) -> None:
    task = make_task(3, labels=["car", "dog"])
    one = {0: SURE, 1: SURE, 2: [("car", A, 0.9), ("dog", B, 0.9)]}
    other = {0: SURE, 1: [("dog", A, 0.9)], 2: []}
    second = plant(other, name="other")
    report = rank(
        task,
        other_function=second["function"],
        other_function_parameters=second["function_parameters"],
        **plant(one),
    )
    assert [(one.frame, one.reasons) for one in report.ranked] == [
        (2, ("2 disputed",)),
        (1, ("1 disputed",)),
    ]


def test_a_function_that_fails_everywhere(
    make_task: Callable[..., Any], plant: Any, rank: Callable[..., RankingReport]
) -> None:
    with pytest.raises(NoTruth, match=r"worked on no frame; the first error: .*cannot see"):
        rank(make_task(1), **plant({0: "fail"}, labels="car"))


def test_finished_jobs_are_not_handed_out_and_issues_are_made(
    make_task: Callable[..., Any], plant: Any, rank: Callable[..., RankingReport]
) -> None:
    task = make_task(6, labels=["car", "dog"], segment_size=3)
    first, second = sorted(task.get_jobs(), key=lambda job: job.start_frame)
    finish(first)
    found: dict[int, Any] = dict.fromkeys(range(6), SURE)
    found[1], found[4] = [], []
    report = rank(task, issues=1, **plant(found))
    assert [job.job_id for job in report.jobs] == [second.id]
    assert report.issues == MadeIssues(created=(1,))
    assert "Issues in CVAT: 1 issue created" in ranking_markdown(report)
    assert [one.frame for one in first.get_issues()] == [1]


def test_a_ranking_is_shown_although_cvat_refuses_issues(
    sandbox: SandboxProcess,
    make_task: Callable[..., Any],
    plant: Any,
    rank: Callable[..., RankingReport],
) -> None:
    task = make_task(3, labels=["car", "dog"])
    rule = {"action": "status", "status": 403, "method": "POST", "path": "/api/issues$"}
    sandbox.set_faults([rule])
    report = rank(task, issues=5, **plant({0: SURE, 1: [], 2: SURE}))
    assert not report.is_complete
    assert [one.frame for one in report.ranked] == [1]
    assert "the issue on frame 1 of job" in report.issues_error
    assert report.issues_error.split(":")[0] in ranking_markdown(report)
