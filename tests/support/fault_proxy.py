"""An HTTP proxy that injects faults between a client and a CVAT server.

A function decides what happens to each request: before or after the server has handled it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from attrs import define, field

from tests.support.fault_handler import FaultHandler
from tests.support.faults import PASS, Exchange, Fault


@define(kw_only=True, eq=False)
class FaultProxy:
    """The proxy, as a context manager. The `kill_*` faults call `kill`."""

    upstream: str
    decide: Callable[[Exchange], Fault] = lambda exchange: PASS
    kill: Callable[[], None] = lambda: None
    after_create: Callable[[str, Fault, bytes], None] = lambda path, fault, answer: None
    """Called when the server has carried out a create, before anything else happens: with the
    path, the fault of the request and the answer."""
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
            FaultHandler(connection, address, self)  # type: ignore[arg-type]
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
