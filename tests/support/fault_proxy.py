"""An HTTP proxy that injects faults between a client and a CVAT server.

A function decides what happens to each request: before or after the server has handled it.
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
    """A request that the proxy has received completely."""

    index: int
    method: str
    path: str
    body: bytes


@frozen(kw_only=True)
class Fault:
    """What to do with a request and its answer."""

    action: Action = "pass"
    status: int = 503
    retry_after: str | None = None
    seconds: float = 0.0
    """How long `refuse` lasts, and `stall` at most: that ends when the client disconnects. `late`
    forwards the request this long after its client has disconnected."""
    overtaken: bool = False
    """Whether `late` waits for a later write, and is then forwarded before it."""
    release: threading.Event | None = None
    """An event that `late` waits for, too."""
    seed: int = 0
    """Decides where `garble` and `truncate` damage the answer."""
    frame: int | None = None
    """Frame whose annotations `drop` removes from the request."""


PASS = Fault()
MAX_LATENESS = 120.0
"""Seconds after which a `late` request is forwarded although its client still waits."""


@define(kw_only=True, eq=False)
class FaultProxy:
    """The proxy, as a context manager. The `kill_*` faults call `kill`."""

    upstream: str
    decide: Callable[[Exchange], Fault] = lambda exchange: PASS
    kill: Callable[[], None] = lambda: None
    max_wait_for_write: float = 60.0
    """Seconds after which an `overtaken` request is forwarded although no write has come."""
    url: str = field(default="", init=False)
    exchanges: int = field(default=0, init=False)
    last_read: dict[str, float] = field(factory=dict, init=False)
    """Time (monotonic) of the last GET, by path."""
    last_late_write: dict[str, float] = field(factory=dict, init=False)
    """Time of the last request that the server got after its client had disconnected, by path."""
    writes: int = field(default=0, init=False)
    """Number of PATCH requests received."""
    _held: int = field(default=0, init=False)
    """Number of `overtaken` requests that have not been forwarded yet."""
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
        """Wait until no request is in flight."""
        while self._in_flight:
            time.sleep(0.005)

    def wait_for_write(self) -> None:
        """Hold an `overtaken` request back until a write arrives."""
        with self._lock:
            self._held += 1
        seen, deadline = self.writes, time.monotonic() + self.max_wait_for_write
        while self.writes == seen and time.monotonic() < deadline:
            time.sleep(0.002)

    def wait_for_held_requests(self) -> None:
        """Count a write, and hold it back until the server has every `overtaken` request."""
        self.writes += 1
        while self._held:
            time.sleep(0.002)

    def release_held_request(self) -> None:
        with self._lock:
            self._held -= 1

    def has_unread_late_write(self) -> bool:
        """Whether the server got a late write that no client has read back since."""
        return any(at > self.last_read.get(path, 0.0) for path, at in self.last_late_write.items())

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
        """Log nothing."""

    def _exchange(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.begin(self.command, self.path, body)
        try:
            self._handle_fault(fault, body)
        finally:
            self.server.end()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _exchange

    def _handle_fault(self, fault: Fault, body: bytes) -> None:
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
            self._client_disconnects(fault.seconds)
            return self._reset()
        if action == "late":
            self._client_disconnects(MAX_LATENESS)
            time.sleep(fault.seconds)
            if fault.release:
                fault.release.wait(MAX_LATENESS)
            if fault.overtaken:
                self.server.wait_for_write()
        elif self.command == "PATCH":
            self.server.wait_for_held_requests()
        if action == "kill_late":
            self.server.kill()
        if action == "drop":
            kept = json.loads(body)
            for kind, items in kept.items():
                kept[kind] = [item for item in items if item["frame"] != fault.frame]
            body = json.dumps(kept).encode()
        status, headers, answer = self._forward(body)
        if action == "late" and fault.overtaken:
            self.server.release_held_request()
        late = action in ("late", "kill_late")
        if late or (self.command == "PATCH" and self._client_disconnects(0)):
            self.server.last_late_write[self.path.split("?")[0]] = time.monotonic()
        if action == "kill_after":
            self.server.kill()
        if action == "stall_after":
            self._client_disconnects(fault.seconds)
        if action in ("reset_after", "late", "stall_after", "kill_after", "kill_late"):
            return self._reset()
        if action == "status_after":
            return self._fail(fault)
        return self._answer(status, headers, *_damage(fault, answer))

    def _client_disconnects(self, within: float) -> bool:
        """Whether the client disconnects within so many seconds. Until then it sends nothing."""
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
                # The server has closed an idle connection, and nothing was sent.
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


def _damage(fault: Fault, body: bytes) -> tuple[bytes, int]:
    """Return the body to send and the Content-Length to announce."""
    dice = random.Random(fault.seed)
    if fault.action == "truncate" and body:
        return body[: dice.randrange(len(body))], len(body)
    if fault.action == "garble":
        at = dice.randrange(len(body) + 1)
        return body[:at] + b"\xff\x00<garbage>" + body[at + 9 :], len(body[:at]) + 11 + len(
            body[at + 9 :]
        )
    return body, len(body)
