"""A CVAT that only has webhooks of one organization. The sandbox has no organizations."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen


@frozen
class OrganizationServer:
    """What the server knows, and the organization that each request named."""

    url: str
    hooks: list[dict[str, Any]] = field(factory=list)
    asked: list[tuple[str, str, str | None]] = field(factory=list)


class _Handler(BaseHTTPRequestHandler):
    state: OrganizationServer

    def do_GET(self) -> None:
        match self._record():
            case "/api/users/self":
                self._answer({"id": 1, "username": "admin"})
            case "/api/webhooks/events":
                self._answer({"webhook_type": "organization", "events": ["update:task"]})
            case "/api/webhooks":
                self._answer({"next": None, "results": self.state.hooks})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        if self._record().endswith("/ping"):
            self._answer({"status_code": 200})
        else:
            self.state.hooks.append({**body, "id": 1, "project_id": None})
            self._answer(self.state.hooks[-1], 201)

    def _record(self) -> str:
        path = urlsplit(self.path).path
        self.state.asked.append((self.command, path, self.headers["X-Organization"]))
        return path

    def _answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.cvat+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def organization_server() -> Iterator[OrganizationServer]:
    """Run the server."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        handler.state = OrganizationServer(f"http://127.0.0.1:{http.server_port}")  # type: ignore[attr-defined]
        yield handler.state  # type: ignore[attr-defined]
        http.shutdown()
