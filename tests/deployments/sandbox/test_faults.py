"""Every fault that the sandbox can inject, as an HTTP client sees it."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from PIL import Image, UnidentifiedImageError

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.support.waiting import wait_until


@pytest.fixture
def http(sandbox: SandboxProcess) -> Iterator[httpx.Client]:
    """A client that asks for uncompressed bodies and does not retry."""
    with httpx.Client(
        base_url=sandbox.url,
        auth=sandbox.admin,
        headers={"Accept-Encoding": "identity"},
        timeout=60,
        trust_env=False,
    ) as http:
        yield http
    sandbox.clear_faults()


def count_projects(http: httpx.Client, name: str) -> int:
    count: int = http.get("/api/projects", params={"name": name}).json()["count"]
    return count


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(("when", "created"), [("before", 0), ("after", 1)])
def test_an_error_status_before_or_after_the_request_takes_effect(
    sandbox: SandboxProcess, http: httpx.Client, status: int, when: str, created: int
) -> None:
    name = f"status {status} {when}"
    rule = {"action": "status", "status": status, "when": when, "method": "POST", "retry_after": 3}
    sandbox.set_faults([{**rule, "path": "^/api/projects$"}])
    answer = http.post("/api/projects", json={"name": name})
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "3")
    assert count_projects(http, name) == created
    assert (
        http.post("/api/projects", json={"name": name}).status_code == 201
    )  # the rule affects one request


@pytest.mark.parametrize(("when", "created"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("action", [{"action": "reset"}, {"action": "stall", "seconds": 0.3}])
def test_a_connection_closes_before_or_after_the_request_takes_effect(
    sandbox: SandboxProcess, http: httpx.Client, action: dict[str, Any], when: str, created: int
) -> None:
    name = f"{action['action']} {when}"
    sandbox.set_faults([{**action, "when": when, "method": "POST", "path": "/api/projects"}])
    started = time.monotonic()
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        http.post("/api/projects", json={"name": name})
    assert time.monotonic() - started >= action.get("seconds", 0)
    assert count_projects(http, name) == created


def test_a_stall_lasts_longer_than_the_timeout_of_the_client(
    sandbox: SandboxProcess, http: httpx.Client
) -> None:
    sandbox.set_faults([{"action": "stall", "path": "/api/users/self"}])
    with pytest.raises(httpx.ReadTimeout):
        http.get("/api/users/self", timeout=httpx.Timeout(60, read=0.3))
    wait_until(lambda: sandbox.list_faults()[0]["hits"], what="the request arrives")
    assert http.get("/api/users/self").status_code == 200


@pytest.mark.parametrize("action", ["status", "reset"])
def test_a_request_that_takes_effect_after_its_failed_answer(
    sandbox: SandboxProcess, http: httpx.Client, action: str
) -> None:
    name = f"late {action}"
    rule = {"action": action, "status": 504, "when": "late", "lateness": 0.5, "method": "POST"}
    sandbox.set_faults([{**rule, "path": "/api/projects"}])
    started = time.monotonic()
    if action == "status":
        assert http.post("/api/projects", json={"name": name}).status_code == 504
    else:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            http.post("/api/projects", json={"name": name})
    assert count_projects(http, name) == 0
    wait_until(lambda: count_projects(http, name), what="the project is created")
    assert time.monotonic() - started >= 0.5
    assert count_projects(http, name) == 1


def test_a_request_that_takes_effect_twice_has_one_answer(
    sandbox: SandboxProcess, http: httpx.Client
) -> None:
    sandbox.set_faults([{"action": "repeat", "method": "POST", "path": "/api/projects"}])
    answer = http.post("/api/projects", json={"name": "repeated"})
    assert answer.status_code == 201
    assert answer.json()["name"] == "repeated"
    assert count_projects(http, "repeated") == 2


def test_a_body_that_drips(sandbox: SandboxProcess, http: httpx.Client) -> None:
    whole = http.get("/api/users/self").content
    sandbox.set_faults([{"action": "drip", "pace": 0.0, "path": "/api/users/self"}])
    assert http.get("/api/users/self").content == whole
    sandbox.set_faults([{"action": "drip", "pace": 0.1, "path": "/api/users/self"}])
    received: list[bytes] = []
    started = time.monotonic()
    with http.stream("GET", "/api/users/self") as answer:
        for part in answer.iter_raw():
            received.append(part)
            if time.monotonic() - started > 0.5:
                break
    assert 1 < len(received) < 10
    assert whole.startswith(b"".join(received))


def test_a_delay(sandbox: SandboxProcess, http: httpx.Client) -> None:
    sandbox.set_faults([{"delay": 0.4, "path": "/api/users/self"}])
    started = time.monotonic()
    assert http.get("/api/users/self").status_code == 200
    assert time.monotonic() - started >= 0.4


def test_a_truncated_body(sandbox: SandboxProcess, http: httpx.Client) -> None:
    sandbox.set_faults([{"action": "truncate", "path": "/api/users/self"}])
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        http.get("/api/users/self")
    received: list[bytes] = []
    sandbox.set_faults([{"action": "truncate", "path": "/api/users/self", "keep": 0.25}])
    with (
        http.stream("GET", "/api/users/self") as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        received.extend(answer.iter_bytes())
    whole = http.get("/api/users/self").content
    assert b"".join(received) == whole[: len(whole) // 4]


def test_a_damaged_body(sandbox: SandboxProcess, http: httpx.Client) -> None:
    whole = http.get("/api/users/self").content
    sandbox.set_faults([{"action": "garble", "path": "/api/users/self"}])
    damaged = http.get("/api/users/self").content
    assert len(damaged) == len(whole)
    differing = [n for n in range(len(whole)) if damaged[n] != whole[n]]
    assert differing == list(range(len(whole) // 2, len(whole) // 2 + 64))


def test_which_requests_a_rule_affects(sandbox: SandboxProcess, http: httpx.Client) -> None:
    def statuses(count: int) -> list[int]:
        return [http.get("/api/tasks", params={"page_size": 1}).status_code for _ in range(count)]

    sandbox.set_faults([{"action": "status", "status": 502, "skip": 1, "times": 2}])
    assert statuses(4) == [200, 502, 502, 200]
    sandbox.set_faults(
        [{"action": "status", "query": "page_size=1$", "method": "GET", "times": None}]
    )
    assert statuses(3) == [503] * 3
    assert http.get("/api/tasks", params={"page_size": 2}).status_code == 200
    assert [(rule["matches"], rule["hits"]) for rule in sandbox.list_faults()] == [(3, 3)]
    sandbox.clear_faults()
    assert sandbox.list_faults() == []
    assert statuses(1) == [200]


def test_the_same_seed_affects_the_same_requests(
    sandbox: SandboxProcess, http: httpx.Client
) -> None:
    def affected(seed: int) -> list[bool]:
        rule = {"action": "status", "probability": 0.5, "seed": seed, "times": None}
        sandbox.set_faults([rule])
        return [http.get("/api/users/self").status_code == 503 for _ in range(20)]

    first = affected(1)
    assert first == affected(1) != affected(2)
    assert 0 < sum(first) < 20


@pytest.mark.parametrize("quality", ["original", "compressed"])
def test_a_corrupt_frame_is_unreadable_in_frames_and_chunks(
    sandbox: SandboxProcess, http: httpx.Client, make_task: Callable[..., Any], quality: str
) -> None:
    task = make_task(count=4, data={"chunk_size": 2})
    url = f"/api/tasks/{task.id}/data?quality={quality}&number="
    sandbox.set_faults(
        [
            {"action": "corrupt_frame", "task": task.id, "frame": 1},
            {"action": "corrupt_frame", "task": task.id, "frame": 2, "how": "truncated"},
        ]
    )

    def readable(content: bytes) -> bool:
        try:
            Image.open(io.BytesIO(content)).load()
        except (UnidentifiedImageError, OSError):
            return False
        return True

    frames = [http.get(f"{url}{n}&type=frame").content for n in range(4)]
    assert [readable(content) for content in frames] == [True, False, False, True]
    in_chunks = []
    for number in range(2):
        answer = http.get(f"{url}{number}&type=chunk")
        assert answer.headers["X-Checksum"]
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            in_chunks += [archive.read(name) for name in archive.namelist()]
    assert in_chunks == frames
    job = task.get_jobs()[0].id
    chunk = http.get(f"/api/jobs/{job}/data?type=chunk&index=0&quality={quality}").content
    with zipfile.ZipFile(io.BytesIO(chunk)) as archive:
        assert archive.read(archive.namelist()[1]) == frames[1]
    sandbox.clear_faults()
    assert readable(http.get(f"{url}1&type=frame").content)


def test_requests_are_counted(
    sandbox: SandboxProcess, http: httpx.Client, make_task: Callable[..., Any]
) -> None:
    task = make_task(count=2)
    sandbox.reset_request_counts()
    task.get_frame(0)
    task.get_frame(1)
    task.get_annotations()
    http.get(f"/api/tasks/{task.id}/data", params={"type": "chunk", "number": 0})
    http.patch(f"/api/tasks/{task.id}/annotations?action=create", json={})
    http.get("/api/tasks", params={"page_size": 3})
    assert sandbox.request_counts() == {
        "GET /api/tasks/{id}/data?type=frame": 2,
        "GET /api/tasks/{id}/data?type=chunk": 1,
        "GET /api/tasks/{id}/annotations": 1,
        "PATCH /api/tasks/{id}/annotations?action=create": 1,
        "GET /api/tasks": 1,
    }
    sandbox.reset_request_counts()
    assert sandbox.request_counts() == {}
