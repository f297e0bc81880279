"""Links to the Prefect UI. A bad answer of the server never stops a run."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from cvat_flows.flows.run.reporting.links import preferred_ui


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """`answering(bytes)` returns the address of a server that sends this answer once."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve(answer: bytes) -> str:
            def once() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

            threading.Thread(target=once, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield serve


def test_links_lead_to_the_servers_default_ui(answering: Callable[[bytes], str]) -> None:
    body = json.dumps({"default_ui": "v2", "v2_base_url": "/v2"}).encode()
    base = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert preferred_ui(base) == f"{base}/v2"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"this is not HTTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[",
        b"HTTP/1.1 404",
    ],
)
def test_links_lead_to_the_base_address_without_a_valid_answer(
    answering: Callable[[bytes], str], answer: bytes
) -> None:
    base = answering(answer)
    assert preferred_ui(base) == base
