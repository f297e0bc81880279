"""Forward one connection's requests to the server, with faults."""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.support.faults import Fault

if TYPE_CHECKING:
    from tests.support.fault_proxy import FaultProxy

MAX_LATENESS = 120.0
"""Seconds after which a `late` request is forwarded although its client still waits."""


class FaultHandler(BaseHTTPRequestHandler):
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
        if action == "repeat":
            status, headers, answer = self._forward(body)
        if status == 200 and self.path.endswith("?action=create"):
            self.server.after_create(self.path, fault, answer)
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
