from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from cvat_flows.deployments.webhook.debounce import SweepStarter
from cvat_flows.deployments.webhook.delivery import sign
from cvat_flows.deployments.webhook.receiver import PATH, make_app
from tests.deployments.webhook.recorded_runs import AWAY, RecordedRuns

SECRET = b"a secret of some length"
IMPORTED = {
    "event": "completed:request[create:task]",
    "request": {"status": "finished", "operation": {"task_id": 5}},
}

Post = Callable[..., Awaitable[tuple[int, str]]]


def with_receiver(story: Callable[[Post, RecordedRuns], Awaitable[None]], **options: Any) -> None:
    """Run a story with a receiver in the same event loop."""

    async def run() -> None:
        runs = RecordedRuns()
        sweeps = SweepStarter(runs, wait=0.01, max_wait=0.05, max_pause=0.02)
        app = make_app(sweeps, secret=SECRET, max_body_bytes=20_000, **options)

        async def post(content: Any, **headers: str) -> tuple[int, str]:
            body = content
            if isinstance(content, dict):
                body = json.dumps(content).encode()
            signature = sign(body, SECRET) if isinstance(body, bytes) else ""
            headers = {"X-Signature-256": signature, **headers}
            answer = await client.post(PATH, content=body, headers=headers)
            return answer.status_code, answer.json()["result"]

        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://receiver") as client,
        ):
            await story(post, runs)

    asyncio.run(run())


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level("INFO", "cvat_flows"):
        yield caplog


def test_each_delivery_is_answered_and_logged(log: pytest.LogCaptureFixture) -> None:
    async def story(post: Post, runs: RecordedRuns) -> None:
        assert await post({"event": "ping"}) == (200, "pong")
        assert await post({"event": "create:task\nx", "task": {}}) == (200, "nothing to do")
        assert await post(IMPORTED) == (200, "a sweep will look at the task")
        while not runs.asked:
            await asyncio.sleep(0.01)
        before = {"updated_date": "2026-11-22T10:00:00Z"}
        saved = {"event": "update:task", "task": {"id": 5, "size": 4}, "before_update": before}
        assert await post(saved) == (200, "known, nothing to do")

    with_receiver(story)
    assert [record.getMessage() for record in log.records] == [
        "ping: pong",
        "create:task x: nothing to do",
        "completed:request[create:task] of task 5: a sweep will look at the task",
        "started the sweep 'sweep 1' of 1 CVAT task: 5",
        "update:task of task 5: known, nothing to do",
    ]


def test_503_while_prefect_is_away() -> None:
    async def story(post: Post, runs: RecordedRuns) -> None:
        runs.down = True
        await post(IMPORTED)
        while (answer := await post(IMPORTED))[0] == 200:
            await asyncio.sleep(0.01)
        assert answer == (503, f"{AWAY}. The sweep of task 5 is kept")
        assert await post({"event": "ping"}) == (200, "pong")
        runs.down = False
        while not runs.asked:
            await asyncio.sleep(0.01)

    with_receiver(story)


def test_a_wrong_signature_is_refused(log: pytest.LogCaptureFixture) -> None:
    async def story(post: Post, runs: RecordedRuns) -> None:
        for signature in ("", "sha256=" + "0" * 64):
            assert (await post(IMPORTED, **{"X-Signature-256": signature}))[0] == 401
        await asyncio.sleep(0.1)
        assert runs.asked == []

    with_receiver(story)
    assert log.records[0].getMessage().startswith("refused a request from 127.0.0.1: X-Signature")


def test_an_invalid_body_is_400() -> None:
    async def story(post: Post, runs: RecordedRuns) -> None:
        assert await post(b"[]") == (400, "the body names no event")

    with_receiver(story)


def test_a_long_body_is_refused() -> None:
    async def story(post: Post, runs: RecordedRuns) -> None:
        assert (await post(b"x" * 20_001))[0] == 413
        assert (await post(b"x" * 20_000))[0] == 400

        async def parts() -> AsyncIterator[bytes]:  # without Content-Length
            for _ in range(3):
                yield b"x" * 10_000

        assert (await post(parts()))[0] == 413

    with_receiver(story)


def test_a_slow_body_is_refused() -> None:
    async def story(post: Post, runs: RecordedRuns) -> None:
        async def drips() -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.02)

        status, text = await asyncio.wait_for(post(drips()), 60)
        assert (status, text) == (408, "the body did not arrive within 0.1 s")

    with_receiver(story, body_timeout=0.1)


def test_an_empty_secret_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty secret"):
        make_app(SweepStarter(RecordedRuns()), secret=b"")
