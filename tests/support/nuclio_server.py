"""A small HTTP server that answers as a Nuclio detector of CVAT does."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import PIL.Image

Detect = Callable[[PIL.Image.Image, float | None], Any]
"""Takes the image and the threshold of a request, returns what is answered as JSON."""

DROP = 0
"""In `faults`: end the connection without an answer."""


class NuclioServer:
    """Runs a function behind `url`, in a thread.

    `faults` holds statuses to answer with in place of the next answers; `DROP` ends a connection.
    `raw` replaces each answer by these bytes. Requests call `detect` at the same time.
    """

    def __init__(self, detect: Detect = lambda image, threshold: []) -> None:
        self.detect = detect
        self.faults: deque[int] = deque()
        self.raw: bytes | None = None
        self.headers: dict[str, str] = {}
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.most_at_a_time = 0
        self._at_a_time = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> NuclioServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self._lock:
            self.requests.append(body)
            self.authorizations.append(request.headers.get("Authorization"))
            self._at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
            status = self.faults.popleft() if self.faults else 200
        try:
            if status == DROP:
                request.close_connection = True
                return
            content = f"worker said {status}".encode()
            if status == 200:
                image = PIL.Image.open(io.BytesIO(base64.b64decode(body["image"])))
                content = json.dumps(self.detect(image, body.get("threshold"))).encode()
                content = content if self.raw is None else self.raw
            self._send(request, status, content)
        finally:
            with self._lock:
                self._at_a_time -= 1

    def _send(self, request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        with suppress(ConnectionError):  # the client can have given up
            request.send_response(status)
            for name, value in {**self.headers, "Content-Length": str(len(content))}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(content)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
