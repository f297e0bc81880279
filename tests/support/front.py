"""A server in front of CVAT, like a proxy or a login page: it can change any answer."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, field

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host"}


@define(kw_only=True)
class Answer:
    """An answer of CVAT, or what the front sends in its place."""

    status: int
    headers: list[tuple[str, str]] = field(factory=list)
    body: bytes = b""


@define(kw_only=True)
class Request:
    """A request that the front has received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Change = Callable[[Request, Callable[[], Answer]], Answer]
"""Gets a request and a function that has CVAT answer it. Returns what to send."""

PAGE = Answer(
    status=200,
    headers=[("Content-Type", "text/html; charset=utf-8")],
    body=b"<!DOCTYPE html><html><head><title>Sign in &amp; go on</title></head></html>",
)


@contextmanager
def front(upstream: str, change: Change, *, certificate: Path | None = None) -> Iterator[str]:
    """Run the server in this process and yield its address. `certificate`: speak TLS with it."""
    target = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(
                method=self.command,
                path=self.path,
                headers=dict(self.headers),
                body=self.rfile.read(length),
            )
            answer = change(request, lambda: self.ask(request))
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_request

        def ask(self, request: Request) -> Answer:
            connection = http.client.HTTPConnection(target.hostname or "", target.port)
            headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.request(request.method, request.path, request.body or None, headers)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _HOP_BY_HOP]
            return Answer(status=response.status, headers=kept, body=body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scheme = "http"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"{scheme}://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
