"""A layer between a client and a CVAT server that can spoil any exchange, before or after the work.

It speaks HTTP on a port of its own, hands requests on, and asks a function what to do to each.
"""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from attrs import define, field, frozen

Action = Literal[
    "pass",
    "refuse",
    "reset_before",
    "reset_after",
    "status_before",
    "status_after",
    "truncate",
    "garble",
    "stall",
    "stall_after",
    "late",
    "kill_before",
    "kill_after",
    "kill_late",
    "drop",
]


@frozen(kw_only=True)
class Exchange:
    """A request that has arrived whole."""

    index: int
    method: str
    path: str
    body: bytes


@frozen(kw_only=True)
class Fault:
    """What to do to an exchange."""

    action: Action = "pass"
    status: int = 503
    retry_after: str | None = None
    seconds: float = 0.0
    """How long a refusal lasts, and a stall at most: it ends when its client has gone. `late` hands
    the request on so long after its client has gone."""
    overtaken: bool = False
    """Whether `late` waits until a later write has arrived, and goes first."""
    release: threading.Event | None = None
    """What `late` waits for, too."""
    seed: int = 0
    """Where `garble` and `truncate` strike."""
    frame: int | None = None
    """Frame whose annotations `drop` takes out of the request."""


PASS = Fault()
LONGEST_WAIT = 120.0
"""Seconds until a request that is late is handed on although its client still waits."""


@define(kw_only=True, eq=False)
class FaultProxy:
    """Listens while it is entered. `kill` is what the `kill_*` faults call."""

    upstream: str
    decide: Callable[[Exchange], Fault] = lambda exchange: PASS
    kill: Callable[[], None] = lambda: None
    patience: float = 60.0
    """Seconds until a request that is to be overtaken is handed on all the same."""
    url: str = field(default="", init=False)
    exchanges: int = field(default=0, init=False)
    last_read: dict[str, float] = field(factory=dict, init=False)
    """When (monotonic) a path was last asked for with GET."""
    last_landing: dict[str, float] = field(factory=dict, init=False)
    """When the server last got a request for a path that its client no longer waited for."""
    writes: int = field(default=0, init=False)
    """Writes that have arrived."""
    _held: int = field(default=0, init=False)
    """Requests that are late and about to be handed on."""
    _port: int = field(default=0, init=False)
    _listener: socket.socket = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _in_flight: int = field(default=0, init=False)
    _refuse_for: float = field(default=0.0, init=False)
    _closing: bool = field(default=False, init=False)
    _connections: set[socket.socket] = field(factory=set, init=False)

    def __enter__(self) -> Self:
        self._listen()
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self.drain()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def drain(self) -> None:
        """Wait until no request is under way."""
        while self._in_flight:
            time.sleep(0.005)

    def wait_for_write(self) -> None:
        with self._lock:
            self._held += 1
        seen, deadline = self.writes, time.monotonic() + self.patience
        while self.writes == seen and time.monotonic() < deadline:
            time.sleep(0.002)

    def let_the_late_go_first(self) -> None:
        self.writes += 1
        while self._held:
            time.sleep(0.002)

    def landed(self) -> None:
        with self._lock:
            self._held -= 1

    def landed_unseen(self) -> bool:
        """Whether the server got such a request after its client had last looked."""
        return any(at > self.last_read.get(path, 0.0) for path, at in self.last_landing.items())

    def _listen(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._port))
        self._listener.listen(64)
        self._port = self._listener.getsockname()[1]

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                self._listener.close()
                if self._closing:
                    return
                time.sleep(self._refuse_for)
                self._listen()
                continue
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._connections.add(connection)
        try:
            _Handler(connection, address, self)  # type: ignore[arg-type]
        except OSError:
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def refuse(self, seconds: float) -> None:
        """Stop listening for a while."""
        self._refuse_for = seconds
        self._listener.shutdown(socket.SHUT_RDWR)

    def begin(self, method: str, path: str, body: bytes) -> Fault:
        with self._lock:
            exchange = Exchange(index=self.exchanges, method=method, path=path, body=body)
            self.exchanges += 1
            self._in_flight += 1
            return self.decide(exchange)

    def end(self) -> None:
        with self._lock:
            self._in_flight -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: FaultProxy  # type: ignore[assignment]

    def setup(self) -> None:
        super().setup()
        self.upstream = HTTPConnection(str(urlsplit(self.server.upstream).netloc), timeout=300)

    def finish(self) -> None:
        self.upstream.close()
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _exchange(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.begin(self.command, self.path, body)
        try:
            self._carry_out(fault, body)
        finally:
            self.server.end()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _exchange

    def _carry_out(self, fault: Fault, body: bytes) -> None:
        action = fault.action
        if action == "refuse":
            self.server.refuse(fault.seconds)
        if action == "kill_before":
            self.server.kill()
        if action in ("refuse", "reset_before", "kill_before"):
            return self._reset()
        if action == "status_before":
            return self._fail(fault)
        if action == "stall":
            self._client_has_gone(fault.seconds)
            return self._reset()
        if action == "late":
            self._client_has_gone(LONGEST_WAIT)
            time.sleep(fault.seconds)
            if fault.release:
                fault.release.wait(LONGEST_WAIT)
            if fault.overtaken:
                self.server.wait_for_write()
        elif self.command == "PATCH":
            self.server.let_the_late_go_first()
        if action == "kill_late":
            self.server.kill()
        if action == "drop":
            kept = json.loads(body)
            for kind, items in kept.items():
                kept[kind] = [item for item in items if item["frame"] != fault.frame]
            body = json.dumps(kept).encode()
        status, headers, answer = self._forward(body)
        if action == "late" and fault.overtaken:
            self.server.landed()
        late = action in ("late", "kill_late")
        if late or (self.command == "PATCH" and self._client_has_gone(0)):
            self.server.last_landing[self.path.split("?")[0]] = time.monotonic()
        if action == "kill_after":
            self.server.kill()
        if action == "stall_after":
            self._client_has_gone(fault.seconds)
        if action in ("reset_after", "late", "stall_after", "kill_after", "kill_late"):
            return self._reset()
        if action == "status_after":
            return self._fail(fault)
        return self._answer(status, headers, *_spoiled(fault, answer))

    def _client_has_gone(self, within: float) -> bool:
        """Whether the client hangs up within so many seconds: it sends nothing before an answer."""
        gone, _, _ = select.select([self.connection], [], [], within)
        return bool(gone)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self.command == "GET":
            self.server.last_read[self.path.split("?")[0]] = time.monotonic()
        own = ("host", "connection", "content-length")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in own}
        for attempt in (1, 2):
            try:
                self.upstream.request(self.command, self.path, body or None, headers)
                response = self.upstream.getresponse()
                answer = response.read()
                return response.status, response.getheaders(), answer
            except (HTTPException, OSError):
                # An idle connection that the server has closed; nothing has been sent.
                self.upstream.close()
                if attempt == 2 or self.command != "GET":
                    raise
        raise AssertionError("unreachable")

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, length: int
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if len(body) < length:
            self.close_connection = True

    def _fail(self, fault: Fault) -> None:
        headers = [("Content-Type", "text/html")]
        if fault.retry_after is not None:
            headers.append(("Retry-After", fault.retry_after))
        body = b"<html>out of order</html>"
        self._answer(fault.status, headers, body, len(body))

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def _spoiled(fault: Fault, body: bytes) -> tuple[bytes, int]:
    """The body as it goes out, and the length that is promised."""
    dice = random.Random(fault.seed)
    if fault.action == "truncate" and body:
        return body[: dice.randrange(len(body))], len(body)
    if fault.action == "garble":
        at = dice.randrange(len(body) + 1)
        return body[:at] + b"\xff\x00<garbage>" + body[at + 9 :], len(body[:at]) + 11 + len(
            body[at + 9 :]
        )
    return body, len(body)
