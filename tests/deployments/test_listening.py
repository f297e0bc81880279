from __future__ import annotations

import socket

import pytest

from cvat_flows.deployments.listening import listen, url_of
from cvat_flows.flows.commands.base.usage_error import UsageError


def test_an_address_that_is_in_use_is_a_usage_error() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--host 127.0.0.1 --port {port}: cannot listen"):
            listen("127.0.0.1", port)
    with pytest.raises(UsageError, match="--port 70000: must be a number from 0 to 65535"):
        listen("127.0.0.1", 70_000)


def test_answers_are_sent_at_once() -> None:
    with listen("127.0.0.1", 0) as listener:
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_address_for_a_client(host: str, shown: str) -> None:
    try:
        listener = listen(host, 0)
    except UsageError:
        pytest.skip(f"this machine has no {host}")
    with listener:
        assert url_of(listener, host) == f"http://{shown}:{listener.getsockname()[1]}"
