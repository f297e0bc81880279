"""Frames get CVAT issues once each, and the jobs an order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve
from cvat_sdk import Client, models

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.retry import RetryPolicy
from cvat_flows.tasks.cvat.task import fetch_media
from cvat_flows.tasks.evaluate.corrections import RankedFrame
from cvat_flows.tasks.evaluate.queue.issues import (
    MAX_ATTEMPTS,
    MadeIssues,
    find_issues,
    make_issues,
    remove_issues,
)
from cvat_flows.tasks.evaluate.queue.marker import marker_of, position_of

POLICY = RetryPolicy(request_lifetime=7.0)
FRAMES = [
    RankedFrame(frame=number, corrections=1.0, reasons=("1 gone", "2 unsure"))
    for number in (3, 0, 4)
]


@pytest.fixture
def task(make_task: Callable[..., Any]) -> Any:
    return make_task(6, segment_size=3)


@pytest.fixture
def make(client: Client, task: Any) -> Callable[..., MadeIssues]:
    """Create the issues, and return what became of them. No wait takes time."""

    def run(waits: list[float] | None = None) -> MadeIssues:
        waited = [] if waits is None else waits
        media = fetch_media(client, task.id)
        return make_issues(client, media, FRAMES, function="f", wait=waited.append, policy=POLICY)

    return run


@pytest.fixture
def faulty_posts(sandbox: SandboxProcess) -> Iterator[Callable[..., None]]:
    """Set a fault for requests that create an issue."""
    yield lambda action, **rule: sandbox.set_faults(
        [{"action": action, "method": "POST", "path": "/api/issues$", **rule}]
    )
    sandbox.clear_faults()


def issues_of(client: Client, task: Any) -> list[tuple[int, int, bool]]:
    """Return the job, frame and state of all issues of the task, by id."""
    found = [one for job in task.get_jobs() for one in job.get_issues()]
    return [(one.job, one.frame, one.resolved) for one in sorted(found, key=lambda one: one.id)]


def on_frame(client: Client, task: Any, frame: int) -> Any:
    (found,) = [o for job in task.get_jobs() for o in job.get_issues() if o.frame == frame]
    return found


def test_an_issue_is_made_once_and_says_why(
    client: Client, task: Any, make: Callable[..., MadeIssues]
) -> None:
    assert make() == MadeIssues(created=(3, 0, 4))
    first, second = sorted(task.get_jobs(), key=lambda job: job.start_frame)
    expected = [(second.id, 3, False), (first.id, 0, False), (second.id, 4, False)]
    assert issues_of(client, task) == expected
    issue = on_frame(client, task, 3)
    (comment,) = issue.get_comments()
    marker = marker_of(fetch_media(client, task.id), 3)
    text = "Please check this frame: 1 gone, 2 unsure (detections of f)."
    assert comment.message == f"{text}\n{marker}"
    assert list(issue.position) == [2, 2, 10, 10]  # of 64 x 48 pixels

    assert make() == MadeIssues(open=(0, 3, 4))
    assert issues_of(client, task) == expected


def test_a_resolved_issue_is_not_made_again(
    client: Client, task: Any, make: Callable[..., MadeIssues]
) -> None:
    make()
    on_frame(client, task, 0).update(models.PatchedIssueWriteRequest(resolved=True))
    assert make() == MadeIssues(open=(3, 4), resolved=(0,))
    assert len(issues_of(client, task)) == 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_request_without_an_answer_makes_no_second_issue(
    client: Client,
    task: Any,
    make: Callable[..., MadeIssues],
    faulty_posts: Callable[..., None],
    when: str,
) -> None:
    faulty_posts("reset", when=when)
    waits: list[float] = []
    assert make(waits).created == (3, 0, 4)
    assert waits[-1] == POLICY.request_lifetime
    assert sorted(frame for _, frame, _ in issues_of(client, task)) == [0, 3, 4]


def test_a_request_that_is_carried_out_twice_leaves_one_issue(
    client: Client,
    task: Any,
    make: Callable[..., MadeIssues],
    faulty_posts: Callable[..., None],
) -> None:
    faulty_posts("repeat")
    assert make() == MadeIssues(created=(3, 0, 4), copies=1)
    assert len(issues_of(client, task)) == 3


def test_cvat_that_stays_away_ends_it_and_another_run_goes_on(
    client: Client,
    task: Any,
    make: Callable[..., MadeIssues],
    faulty_posts: Callable[..., None],
) -> None:
    faulty_posts("status", skip=1, times=MAX_ATTEMPTS)
    with pytest.raises(CvatUnavailable, match="the issue on frame 0 of job"):
        make()
    assert make() == MadeIssues(created=(0, 4), open=(3,))


def test_two_machines_at_once_make_one_issue_each_frame(
    client: Client, task: Any, make: Callable[..., MadeIssues]
) -> None:
    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(frame for _, frame, _ in issues_of(client, task)) == [0, 3, 4]


def test_people_s_issues_are_not_taken_for_ours(
    client: Client, task: Any, make: Callable[..., MadeIssues]
) -> None:
    media = fetch_media(client, task.id)
    job = min(task.get_jobs(), key=lambda job: job.start_frame)
    place = list(position_of(media, 0))
    for message, position in [
        ("look here", place),
        (f"what does this mean? {marker_of(media, 0)}", place),
        (marker_of(media, 1), place),  # copied from another frame
        (marker_of(media, 0), [5.0, 5.0]),  # copied to another place
        (f"{marker_of(media, 0)}\nmine", place),
    ]:
        client.api_client.issues_api.create(
            models.IssueWriteRequest(frame=0, position=position, job=job.id, message=message)
        )
    assert find_issues(client, media) == []
    make()
    assert remove_issues(client, media).removed == (0, 3, 4)
    assert [frame for _, frame, _ in issues_of(client, task)] == [0] * 5


def test_only_unanswered_issues_are_removed(
    client: Client, task: Any, make: Callable[..., MadeIssues]
) -> None:
    make()
    media = fetch_media(client, task.id)
    issue = on_frame(client, task, 3)
    client.api_client.comments_api.create(
        models.CommentWriteRequest(issue=issue.id, message="this is fine")
    )
    on_frame(client, task, 0).update(models.PatchedIssueWriteRequest(resolved=True))
    planned = remove_issues(client, media, dry_run=True)
    assert (planned.removed, planned.kept) == ((4,), (0, 3))
    assert len(issues_of(client, task)) == 3
    assert remove_issues(client, media) == planned
    assert sorted(frame for _, frame, _ in issues_of(client, task)) == [0, 3]
    assert evolve(remove_issues(client, media), kept=()) == evolve(planned, removed=(), kept=())
