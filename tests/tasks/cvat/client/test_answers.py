"""Answers of 200 that CVAT did not write: each request says so in one sentence, after retries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from cvat_sdk import Client

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.commands.base.exit_status import SERVER, status_of
from cvat_flows.flows.sweep.listing import failed_imports, list_tasks
from cvat_flows.flows.sweep.rules import SweepRule
from cvat_flows.tasks.cvat.client import http
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.http import get
from cvat_flows.tasks.cvat.client.retry import RetryPolicy
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.cvat.job import frames_of_job
from cvat_flows.tasks.cvat.job_annotations import JobAnnotations
from cvat_flows.tasks.cvat.labels import fetch_labels
from cvat_flows.tasks.cvat.task import fetch_media
from cvat_flows.tasks.model.errors import CvatFlowsError
from tests.support.front import PAGE, Answer, Change, Request, front

QUICK = RetryPolicy(first_wait=0.0, max_attempts=3, give_up_after=0.2)

BAD = {
    "web page": PAGE,
    "page sent as JSON": evolve(PAGE, headers=[("Content-Type", "application/json")]),
    "nothing": Answer(status=200),
    "object": Answer(status=200, body=b"{}"),
    "null": Answer(status=200, body=b"null"),
    "list": Answer(status=200, body=b"[]"),
    "text": Answer(status=200, body=b"OK"),
    "rows of another service": Answer(status=200, body=b'{"results": [{"uuid": 1}], "next": 0}'),
}

REQUESTS: dict[str, tuple[str, Callable[[Client, Any], Any]]] = {
    "login": ("/auth/login$", lambda client, task: log_in(client)),
    "user": ("/users/self$", lambda client, task: log_in(client)),
    "task": (r"/tasks/\d+$", lambda client, task: fetch_media(client, task.id)),
    "data": (r"/tasks/\d+/data/meta$", lambda client, task: fetch_media(client, task.id)),
    "jobs": (r"/jobs\?", lambda client, task: fetch_media(client, task.id)),
    "labels": (r"/labels\?", lambda client, task: fetch_labels(client, task_id=task.id)),
    "job": (
        r"/jobs/\d+$",
        lambda client, task: frames_of_job(client, task.id, job_of(task), ground_truth=False),
    ),
    "annotations": (
        r"/annotations$",
        lambda client, task: list(
            JobAnnotations(client=client, job_id=job_of(task), retry_policy=QUICK).read()
        ),
    ),
    "tasks": (r"/tasks\?", lambda client, task: list_tasks(client, SweepRule())),
    "imports": (r"/requests\?", lambda client, task: failed_imports(client)),
}


def log_in(client: Client) -> Client:
    host = client.api_map.host
    return connect(ServerSettings(host=host, username="admin", password="admin"))


def job_of(task: Any) -> int:
    return int(task.get_jobs()[0].id)


@pytest.fixture
def through(
    client: Client, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Change], Any]:
    """`with through(change) as other`: a logged-in client whose answers `change` can change."""
    monkeypatch.setattr(http, "DEFAULT_POLICY", QUICK)

    class Through:
        def __init__(self, change: Change) -> None:
            self.front = front(sandbox.url, change)

        def __enter__(self) -> Client:
            other = Client(self.front.__enter__(), check_server_version=False)
            other.api_client.cookies.update(client.api_client.cookies)
            other.api_client.configuration.api_key.update(client.api_client.configuration.api_key)
            return other

        def __exit__(self, *error: Any) -> None:
            self.front.__exit__(None, None, None)

    return Through


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_of_another_server_is_one_sentence(
    make_task: Callable[..., Any], through: Any, name: str, bad: str
) -> None:
    pattern, send = REQUESTS[name]
    task = make_task(1)
    hits: list[str] = []

    def change(request: Request, ask: Callable[[], Answer]) -> Answer:
        if not re.search(pattern, request.path):
            return ask()
        hits.append(request.path)
        return BAD[bad]

    with through(change) as client, pytest.raises(CvatFlowsError) as caught:
        send(client, task)
    assert status_of(caught.value) == SERVER
    assert len(str(caught.value).splitlines()) == 1
    if name != "annotations":  # Only the end of a long silence is an error there.
        assert "is not CVAT's" in str(caught.value)
    if "page" in bad and name != "annotations":
        assert 'a web page ("Sign in & go on")' in str(caught.value)
    # Nobody can repeat a login as often as he likes.
    assert len(hits) == (1 if name in ("login", "user") else 3) or name == "annotations"


@pytest.mark.parametrize("name", [name for name in REQUESTS if name not in ("login", "user")])
def test_such_an_answer_may_pass(make_task: Callable[..., Any], through: Any, name: str) -> None:
    pattern, send = REQUESTS[name]
    task = make_task(1)
    left = list(BAD.values())[:2]

    def change(request: Request, ask: Callable[[], Answer]) -> Answer:
        return left.pop() if re.search(pattern, request.path) and left else ask()

    with through(change) as client:
        send(client, task)
    assert left == []


def test_a_web_page_in_place_of_an_image_is_not_an_unreadable_image(
    make_task: Callable[..., Any], through: Any
) -> None:
    task = make_task(1)
    with (
        through(lambda request, ask: PAGE) as client,
        pytest.raises(CvatFlowsError, match="frame 0: the answer is not CVAT's: a web page"),
    ):
        get(client, f"/api/tasks/{task.id}/data", subject="frame 0", type="frame", number=0)


def test_a_task_whose_frames_cvat_does_not_list(
    make_task: Callable[..., Any], through: Any
) -> None:
    task = make_task(2)

    def change(request: Request, ask: Callable[[], Answer]) -> Answer:
        answer = ask()
        if request.path.endswith("/data/meta"):
            answer.body = json.dumps({**json.loads(answer.body), "frames": []}).encode()
        return answer

    with through(change) as client, pytest.raises(CvatFlowsError, match="CVAT lists no frames"):
        fetch_media(client, task.id)
