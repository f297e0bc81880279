from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from cvat_flows.deployments.listening import listen
from cvat_flows.deployments.webhook import http_server
from cvat_flows.deployments.webhook.debounce import SweepStarter
from cvat_flows.deployments.webhook.http_server import make_server
from cvat_flows.deployments.webhook.receiver import make_app
from tests.deployments.webhook.recorded_runs import RecordedRuns
from tests.support.waiting import HANG_TIMEOUT, wait_until

Address = tuple[str, int]


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """A receiver that closes silent connections at once and takes three connections."""
    monkeypatch.setattr(http_server, "HEADER_TIMEOUT", 0.2)
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 3)
    server = make_server(make_app(SweepStarter(RecordedRuns()), secret=b"secret"))
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_until(lambda: server.started, what="the receiver serves")
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


def connect(address: Address, text: str = "") -> socket.socket:
    connection = socket.create_connection(address, timeout=HANG_TIMEOUT)
    connection.sendall(text.encode())
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Read until the receiver closes the connection."""
    found = b""
    try:
        while part := connection.recv(4096):
            found += part
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("start", ["", "POST /cvat HTTP/1.1\r\nHost: a\r\nX-Slow: "])
def test_a_connection_that_sends_no_headers_is_closed(address: Address, start: str) -> None:
    with connect(address, start) as connection:
        assert read_all(connection) == b""


def test_a_connection_is_closed_after_its_answer(address: Address) -> None:
    with connect(address, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n") as connection:
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
def test_nothing_else_is_public(address: Address, path: str) -> None:
    with connect(address, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 404")


def test_too_many_connections_are_refused(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEADER_TIMEOUT", HANG_TIMEOUT)
    held = [connect(address) for _ in range(3)]

    def status() -> bytes:
        with connect(address, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n") as connection:
            return read_all(connection)[:12]

    wait_until(lambda: status() == b"HTTP/1.1 503", what="the receiver is full")
    for connection in held:
        connection.close()
    wait_until(lambda: status() == b"HTTP/1.1 200", what="the receiver answers again")
