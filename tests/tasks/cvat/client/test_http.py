"""GET requests to CVAT: headers, retries, sinks, pages and threads."""

from __future__ import annotations

import gzip
import io
import json
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from cvat_sdk import Client

from cvat_flows.tasks.cvat.client import http
from cvat_flows.tasks.cvat.client.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.client.http import DiskFull, get, get_all_pages, get_json
from cvat_flows.tasks.cvat.client.login import remember_session
from cvat_flows.tasks.cvat.client.retry import (
    DEFAULT_POLICY,
    MAX_CONSECUTIVE_500S,
    Interrupted,
    RetryPolicy,
    interruptible,
)
from tests.tasks.cvat.client.scripted_server import (
    Reply,
    ScriptedServer,
    cut_off,
    drip,
    hang_up,
    reply,
)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


@pytest.fixture
def client(server: ScriptedServer) -> Client:
    client = Client(server.url, check_server_version=False)
    client.api_client.configuration.access_token = "secret-token"
    client.organization_slug = "acme"
    return client


@pytest.fixture
def waits() -> list[float]:
    return []


def test_credentials_organization_and_uncompressed_transfer(
    server: ScriptedServer, client: Client
) -> None:
    server.replies = [reply(200, b'{"a": 1}'), reply(200), reply(200)]
    assert get_json(client, "/api/tasks/5", subject="task 5", page=2, none=None) == {"a": 1}
    get_json(client, "/api/jobs", subject="jobs", organization=7)
    get_json(client, "/api/jobs", subject="jobs", organization="")
    paths = [path for path, _ in server.requests]
    assert paths == ["/api/tasks/5?page=2", "/api/jobs?org_id=7", "/api/jobs?org="]
    first, second, third = (headers for _, headers in server.requests)
    assert first["Authorization"] == "Bearer secret-token"
    assert first["Accept-Encoding"] == "identity"
    assert first["X-Organization"] == "acme"
    assert "X-Organization" not in second
    assert "X-Organization" not in third


@pytest.mark.parametrize(
    "trouble",
    [
        [reply(502), reply(503), reply(504)],
        [hang_up, hang_up],
        [cut_off(1000, b'{"cut": '), cut_off(10, b"")],
        [reply(200, b'{"cut": ')],
        [reply(500), reply(500)],
        [reply(408), reply(425)],
    ],
    ids=["5xx", "resets", "cut off", "half", "500", "transient 4xx"],
)
def test_transient_errors_are_retried(
    server: ScriptedServer, client: Client, trouble: list[Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "DEFAULT_POLICY", RetryPolicy(first_wait=0.0))
    server.replies = [*trouble, reply(200, b'{"a": 1}')]
    assert get_json(client, "/api/x", subject="task 5") == {"a": 1}
    assert server.replies == []


def test_waits_grow_and_retry_after_is_honoured(
    server: ScriptedServer, client: Client, waits: list[float]
) -> None:
    server.replies = [
        reply(502),
        reply(503),
        reply(429, Retry_After="17"),
        reply(429, Retry_After="soon"),
        hang_up,
        reply(200),
    ]
    get(client, "/api/x", subject="task 5", wait=waits.append)
    assert waits[2] == 17
    assert 0.3 < waits[0] < 0.7 < waits[1] < 1.3 < waits[3] < waits[4] < 11


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_retries_end(
    server: ScriptedServer, client: Client, waits: list[float], status: int
) -> None:
    server.replies = [reply(status, b"busy") for _ in range(20)]
    with pytest.raises(CvatUnavailable, match=f"task 5: CVAT answered {status}"):
        get(client, "/api/x", subject="task 5", wait=waits.append)
    assert len(server.requests) == DEFAULT_POLICY.max_attempts
    assert len(waits) == len(server.requests) - 1


def test_500s_are_retried_fewer_times(
    server: ScriptedServer, client: Client, waits: list[float]
) -> None:
    server.replies = [reply(500) for _ in range(20)]
    with pytest.raises(CvatUnavailable):
        get(client, "/api/x", subject="task 5", wait=waits.append)
    assert len(server.requests) == MAX_CONSECUTIVE_500S


def test_a_long_retry_after_fails_the_request(
    server: ScriptedServer, client: Client, waits: list[float]
) -> None:
    server.replies = [reply(429, Retry_After="86400")]
    with pytest.raises(CvatUnavailable, match="429"):
        get(client, "/api/x", subject="task 5", wait=waits.append)
    assert waits == []


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, "no such thing", "task 5: CVAT answered 400: no such thing"),
        (401, "", "task 5: CVAT no longer accepts the credentials"),
        (404, "", "task 5 does not exist on the CVAT server"),
        (
            403,
            '{"detail": "You do not have permission to perform this action."}',
            "task 5: the CVAT user of this run has no permission for it; assign the task to that "
            "user, use an account that has permission, or an access token that is not read-only",
        ),
        (
            403,
            '{"detail": "CSRF Failed: CSRF token missing."}',
            r"task 5: CVAT rejects the origin .*\(CSRF Failed: CSRF token missing.\): use an",
        ),
        (
            403,
            '{"detail": "You must be a member of the organization."}',
            "task 5: CVAT forbids it .*: check --organization",
        ),
        (403, '["no"]', r'task 5: CVAT forbids it \(\["no"\]\)'),
        (
            403,
            "<html><head><title>403 Forbidden</title></head><body>nginx</body></html>",
            r'task 5: a server in front of CVAT forbids this .*403, a web page \("403 Forbidden"\)',
        ),
        (413, "<html><title>no</title></html>", "task 5: a proxy .*413.*: raise its limit .*nginx"),
        (
            418,
            "<!DOCTYPE html><html><body>out</body></html>",
            "task 5: CVAT answered 418: a web page",
        ),
    ],
)
def test_refusals_are_not_retried(
    server: ScriptedServer, client: Client, status: int, body: str, words: str
) -> None:
    server.replies = [reply(status, body.encode())]
    with pytest.raises(CvatRefused, match=words) as caught:
        get(client, "/api/x", subject="task 5")
    assert caught.value.status == status
    assert "secret-token" not in repr(caught.value) + str(caught.value.__cause__)


def test_a_server_that_does_not_answer(waits: list[float]) -> None:
    client = Client("http://127.0.0.1:9", check_server_version=False)
    with pytest.raises(CvatUnavailable, match="task 5: no answer from CVAT"):
        get(
            client,
            "/api/x",
            subject="task 5",
            wait=waits.append,
            policy=evolve(DEFAULT_POLICY, max_attempts=2),
        )
    assert len(waits) == 1


@pytest.mark.parametrize("size", [500, 8 << 20])
@pytest.mark.parametrize("to_sink", [False, True])
def test_an_answer_that_drips_ends(
    server: ScriptedServer, client: Client, waits: list[float], to_sink: bool, size: int
) -> None:
    """Each byte is in time; the whole answer is not."""
    policy = evolve(DEFAULT_POLICY, read_timeout=10.0, transfer_timeout=0.3, max_attempts=2)
    sink = io.BytesIO() if to_sink else None
    server.replies = [drip(b"x" * size, 0.02), drip(b"x" * size, 0.02)]
    started = time.monotonic()
    with pytest.raises(CvatUnavailable, match="chunk 0: no answer from CVAT"):
        get(client, "/x", subject="chunk 0", sink=sink, policy=policy, wait=waits.append)
    assert time.monotonic() - started < 5
    assert len(waits) == 1
    # A slow answer that ends in time is good.
    server.replies = [drip(b"x" * 50, 0.001)]
    assert get(client, "/x", subject="chunk 0", policy=policy).body == b"x" * 50


def test_a_sink_holds_only_the_last_attempt(
    server: ScriptedServer, client: Client, waits: list[float]
) -> None:
    sink = io.BytesIO()
    server.replies = [cut_off(5_000_000, b"x" * 3_000_000), reply(200, b"whole", X_Checksum="7")]
    answer = get(client, "/api/x", subject="chunk 0", sink=sink, wait=waits.append)
    assert sink.getvalue() == b"whole"
    assert answer.body == b""
    assert answer.headers["X-Checksum"] == "7"


def test_a_full_disk_is_reported_as_such(server: ScriptedServer, client: Client) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(28, "No space left on device")

    server.replies = [reply(200, b"whole")]
    with pytest.raises(DiskFull, match=r"No space left on device.*TMPDIR"):
        get(client, "/api/x", subject="chunk 0", sink=Full())


def test_redirects_are_followed(server: ScriptedServer, client: Client) -> None:
    server.replies = [reply(301, Location="/api/y"), reply(200, b"[1]")]
    assert get_json(client, "/api/x", subject="task 5") == [1]
    server.replies = [reply(302, Location="/api/x") for _ in range(60)]
    with pytest.raises(CvatUnavailable):
        get(client, "/api/x", subject="task 5", policy=evolve(DEFAULT_POLICY, max_attempts=1))


def test_a_wait_can_be_aborted(server: ScriptedServer, client: Client) -> None:
    server.replies = [reply(429, Retry_After="50")]
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(Interrupted):
        get(client, "/api/x", subject="task 5", wait=interruptible(stop))
    assert time.monotonic() - begin < 45


def test_all_pages(server: ScriptedServer, client: Client) -> None:
    pages = [{"results": [1, 2], "next": "…"}, {"results": [3], "next": None}]
    server.replies = [reply(200, json.dumps(page).encode()) for page in pages]
    assert list(get_all_pages(client, "/api/jobs", subject="jobs", task_id=5)) == [1, 2, 3]
    assert [path for path, _ in server.requests] == [
        "/api/jobs?page=1&page_size=500&task_id=5",
        "/api/jobs?page=2&page_size=500&task_id=5",
    ]


def test_many_threads_share_one_client(server: ScriptedServer, client: Client) -> None:
    server.replies = [reply(200, b"[1]", Set_Cookie="a=b")] * 60
    answers: list[Any] = []

    def ask() -> None:
        for _ in range(10):
            answers.append(get_json(client, "/api/x", subject="task 5"))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[1]] * 60


def test_credentials_in_an_answer_are_masked(server: ScriptedServer, client: Client) -> None:
    """A gateway may show the request that it refuses."""
    remember_session(client)
    body = b"Authorization: Bearer secret-token\x1b[31m " + b"x" * 400 + b" secret-token"
    server.replies = [reply(400, body)]
    with pytest.raises(CvatRefused) as caught:
        get_json(client, "/api/tasks/5", subject="task 5")
    assert "secret-token" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "task 5: CVAT answered 400: Authorization: Bearer ***" in str(caught.value)


@pytest.mark.parametrize("with_sink", [True, False])
def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(
    server: ScriptedServer, client: Client, with_sink: bool
) -> None:
    bomb = gzip.compress(bytes(200_000_000))
    server.replies = [reply(200, bomb, Content_Encoding="gzip")]
    sink = io.BytesIO() if with_sink else None
    tracemalloc.start()
    try:
        with pytest.raises(CvatUnavailable):
            get(client, "/api/x", subject="x", sink=sink, policy=RetryPolicy(max_attempts=1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000


def test_a_compressed_body_that_nobody_asked_for_is_read(
    server: ScriptedServer, client: Client
) -> None:
    body = json.dumps([{"frame": n, "points": [1.5, 2.5]} for n in range(200_000)]).encode()
    server.replies = [reply(200, gzip.compress(body), Content_Encoding="gzip")]
    assert get(client, "/api/x", subject="x").body == body
