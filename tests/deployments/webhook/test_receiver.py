from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.deployments.webhook.announcement import Announcement
from cvat_flows.deployments.webhook.announcer import Announcer
from cvat_flows.deployments.webhook.delivery import (
    BadDelivery,
    is_signed,
    read_delivery,
    sign,
)
from cvat_flows.deployments.webhook.prefect_calls import PrefectUnavailable
from cvat_flows.deployments.webhook.ready_tasks import ScanResult
from cvat_flows.deployments.webhook.receiver import PATH, make_app
from cvat_flows.tasks.cvat.errors import CvatUnavailable
from tests.support.waiting import HANG_TIMEOUT, wait_until

SECRET = b"a secret of some length"


def announcement(task_id: int) -> Announcement:
    return Announcement(
        task_id=task_id,
        name=f"task {task_id}",
        frames=3,
        url=f"http://cvat.example/tasks/{task_id}",
        project_id=1,
        rule="cars",
        parameters={"task_id": task_id},
        version="f 1",
    )


class Cvat:
    """A CVAT whose tasks a scan reads."""

    def __init__(self) -> None:
        self.ready: set[int] = set()
        self.waiting: set[int] = set()
        self.down = False
        self.scans: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def scan(self, ids: Collection[int]) -> ScanResult:
        self.scans.append(sorted(ids))
        self.gate.wait(HANG_TIMEOUT)
        if self.down:
            raise CvatUnavailable("the list of tasks: no answer from CVAT")
        return ScanResult(
            ready=[announcement(one) for one in ids if one in self.ready],
            settled=set(ids) - self.waiting,
        )


class Prefect:
    def __init__(self) -> None:
        self.events: list[int] = []
        self.down = False

    async def send(self, announcements: list[Announcement]) -> None:
        if self.down:
            raise PrefectUnavailable("the Prefect server does not take events")
        self.events += [one.task_id for one in announcements]


class Receiver:
    """The application in its own event loop, as in a server."""

    def __init__(self, cvat: Cvat, prefect: Prefect, **options: Any) -> None:
        self.announcer = Announcer(cvat.scan, prefect.send)
        self.app = make_app(self.announcer, secret=SECRET, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._lifespan = self.app.router.lifespan_context(self.app)
        self._wait(self._lifespan.__aenter__())
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://receiver"
        )

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANG_TIMEOUT)

    def post(self, content: Any, **headers: str) -> tuple[int, str]:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"X-Signature-256": sign(body, SECRET), **headers}
        answer = self._wait(self._client.post(PATH, content=body, headers=headers))
        return answer.status_code, answer.json()["result"]

    def close(self) -> None:
        self._wait(self._client.aclose())
        self._wait(self._lifespan.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def cvat() -> Cvat:
    return Cvat()


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture
def receiver(cvat: Cvat, prefect: Prefect) -> Iterator[Receiver]:
    receiver = Receiver(cvat, prefect, max_body_bytes=20_000, answer_timeout=HANG_TIMEOUT)
    yield receiver
    receiver.close()


@pytest.fixture
def impatient_receiver(cvat: Cvat, prefect: Prefect) -> Iterator[Receiver]:
    receiver = Receiver(cvat, prefect, answer_timeout=0.5)
    yield receiver
    receiver.close()


def update(task_id: int, size: int = 4, **before: Any) -> dict[str, Any]:
    return {
        "event": "update:task",
        "task": {"id": task_id, "size": size},
        "before_update": {"updated_date": "2026-11-22T10:00:00Z", **before},
        "webhook_id": 1,
    }


def test_a_ready_task_is_announced_once(receiver: Receiver, cvat: Cvat, prefect: Prefect) -> None:
    cvat.ready = {5}
    assert receiver.post(update(5)) == (200, "announced")
    assert receiver.post(update(5)) == (200, "known")
    assert receiver.post(update(5, name="old name")) == (200, "known")
    assert (prefect.events, cvat.scans) == ([5], [[5]])


@pytest.mark.parametrize(
    "content",
    [
        {"event": "create:task", "task": {"id": 5}},
        update(5, size=0),
        {"event": "create:job", "job": {"id": 9, "task_id": 5}},
        {"event": "update:job", "job": {"id": 9, "task_id": 5}},
        {"event": "delete:task", "task": {"id": 5, "size": 4}},
    ],
)
def test_an_event_that_shows_no_data_starts_no_scan(
    receiver: Receiver, cvat: Cvat, content: Any
) -> None:
    assert receiver.post(content) == (200, "nothing to do")
    assert cvat.scans == []


def test_ping(receiver: Receiver) -> None:
    assert receiver.post({"event": "ping", "webhook": {"id": 1}}) == (200, "pong")


def test_an_annotated_task_is_not_announced(
    receiver: Receiver, cvat: Cvat, prefect: Prefect
) -> None:
    assert receiver.post(update(7)) == (200, "nothing to do")
    assert receiver.post(update(7)) == (200, "known")
    assert (prefect.events, cvat.scans) == ([], [[7]])


def test_a_delivery_that_comes_before_the_data(
    receiver: Receiver, cvat: Cvat, prefect: Prefect
) -> None:
    cvat.waiting = {5}
    assert receiver.post(update(5)) == (200, "not ready yet")
    cvat.waiting, cvat.ready = set(), {5}
    assert receiver.post(update(5)) == (200, "announced")
    assert prefect.events == [5]


def test_many_deliveries_at_once(receiver: Receiver, cvat: Cvat, prefect: Prefect) -> None:
    cvat.ready = set(range(1, 41))
    bodies = [update(task_id) for task_id in range(1, 41)] * 5
    cvat.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        posts = [pool.submit(receiver.post, body) for body in bodies]
        # The first scan lasts until the other deliveries have arrived.
        wait_until(
            lambda: sum(map(len, cvat.scans)) + len(receiver.announcer._waiting) == 20,
            what="twenty deliveries have arrived",
        )
        cvat.gate.set()
        answers = [post.result() for post in posts]
    assert {status for status, _ in answers} == {200}
    assert sorted(prefect.events) == list(range(1, 41))
    assert len(cvat.scans) < 40


def test_503_while_prefect_is_down(receiver: Receiver, cvat: Cvat, prefect: Prefect) -> None:
    cvat.ready, prefect.down = {5}, True
    assert receiver.post(update(5)) == (503, "the Prefect server does not take events")
    prefect.down = False
    assert receiver.post(update(5)) == (200, "announced")
    assert prefect.events == [5]


def test_503_while_cvat_is_down(receiver: Receiver, cvat: Cvat, prefect: Prefect) -> None:
    cvat.ready, cvat.down = {5}, True
    assert receiver.post(update(5))[0] == 503
    cvat.down = False
    assert receiver.post(update(5)) == (200, "announced")


def test_503_before_the_timeout_if_cvat_hangs(
    impatient_receiver: Receiver, cvat: Cvat, prefect: Prefect
) -> None:
    cvat.ready = {5}
    cvat.gate.clear()
    status, text = impatient_receiver.post(update(5))
    cvat.gate.set()
    assert (status, "within 0.5 s" in text) == (503, True)
    # On a slow machine, further deliveries may get 503, too.
    answers = wait_until(
        lambda: [text for status, text in [impatient_receiver.post(update(5))] if status == 200],
        what="the task is known",
    )
    assert answers[0] in ("known", "announced")
    assert prefect.events == [5]


@pytest.mark.parametrize("given", [None, "", "sha256=", "sha256=" + "0" * 64, "ä"])
def test_a_wrong_signature_is_refused(receiver: Receiver, cvat: Cvat, given: str | None) -> None:
    body = json.dumps(update(5)).encode()
    assert not is_signed(body, given, SECRET)
    assert receiver.post(body, **{"X-Signature-256": "sha256=" + "0" * 64})[0] == 401
    assert cvat.scans == []


def test_a_long_body_is_refused_before_it_is_read(receiver: Receiver) -> None:
    assert receiver.post(b"x" * 20_001)[0] == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"event": 3}',
        b"\xff",
        b'{"event": "update:task"}',
        b'{"event": "update:task", "task": {"id": "5", "size": 3}}',
        b'{"event": "update:task", "task": {"id": -5, "size": 3}}',
        b"[" * 15_000,
    ],
)
def test_an_invalid_body_is_400(receiver: Receiver, cvat: Cvat, body: bytes) -> None:
    assert receiver.post(body)[0] == 400
    assert cvat.scans == []


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    with suppress(BadDelivery):
        assert read_delivery(body).event


def test_the_same_announcement_is_the_same_event() -> None:
    one, again, other = announcement(5), announcement(5), announcement(6)
    assert one.to_event()["id"] == again.to_event()["id"] != other.to_event()["id"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert one.to_event()["id"] == one.to_event(tomorrow)["id"]
