"""From HTTP requests to handlers and back: routes, authentication, transactions, compression."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cvat_flows.deployments.sandbox.answers import (
    JSON,
    REQUIRED,
    Refusal,
    answer,
    permission_denied,
)
from cvat_flows.deployments.sandbox.resources import as_json, may_access
from cvat_flows.deployments.sandbox.sandbox import Sandbox
from cvat_flows.deployments.sandbox.store import Row

MIN_GZIP_BYTES = 200
"""CVAT compresses bodies from this size on."""


class Call:
    """One request, the user that sent it, and the sandbox."""

    def __init__(self, sandbox: Sandbox, request: Request, body: bytes, user: Row) -> None:
        self.sandbox, self.store, self.user = sandbox, sandbox.store, user
        self.method, self.headers, self.body = request.method, request.headers, body
        self.query: dict[str, str] = dict(request.query_params)
        self.path: str = request.url.path
        self.path_values: dict[str, Any] = request.path_params
        self.base = str(request.base_url).rstrip("/")
        """What URLs in answers begin with."""

    def find(self, kind: str, row_id: int | None = None) -> Row:
        """Return the row with this id, by default the one in the path.

        Raises:
            Refusal: 404 if there is no such row, 403 if the user may not access it.
        """
        row = self.store.get(kind, self.path_values["id"] if row_id is None else row_id)
        if row is None:
            raise Refusal(404, {"detail": f"No {kind.title()} matches the given query."})
        if not self.may_access(kind, row):
            raise permission_denied()
        return row

    def find_target(self) -> tuple[Row, Row | None, Row | None]:
        """Return the task, the job if the path names one, and the data if there are any.

        For paths with `{kind}`, which name a task or a job.
        """
        job = self.find("job") if self.path.startswith("/api/jobs/") else None
        task = self.find("task") if job is None else self.store.existing("task", job["task_id"])
        return task, job, self.store.get("data", task["id"])

    def may_access(self, kind: str, row: Row) -> bool:
        return may_access(self.store, self.user, kind, row)

    def accessible(self, kind: str) -> list[Row]:
        """Return all rows of a kind that the user may access."""
        return [row for row in self.store.all(kind) if self.may_access(kind, row)]

    def as_json(self, kind: str, row: Row) -> Row:
        return as_json(self.store, kind, row, self.base)

    def answer_row(self, kind: str, row: Row, status: int = 200) -> Response:
        return answer(self.as_json(kind, row), status)

    def record_update(self, kind: str, row: Row, before: Row | None = None) -> None:
        """See `Notifier.record_update`."""
        self.sandbox.notifier.record_update(kind, row, self.user, self.base, before)

    def notify(self, event: str, row: Row) -> None:
        """See `Notifier.notify`."""
        self.sandbox.notifier.notify(event, row, self.user, self.base)

    def json(self) -> Any:
        try:
            return orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError as error:
            raise Refusal(400, {"detail": f"JSON parse error - {error}"}) from None

    def fields(self, *required: str) -> Row:
        """Return the body, a JSON object in which the required fields are present and not blank."""
        fields = self.json()
        if not isinstance(fields, dict):
            raise Refusal(400, {"non_field_errors": ["Invalid data. Expected a dictionary."]})
        errors = {name: REQUIRED for name in required if fields.get(name) is None}
        for name in fields.keys() & set(required):
            value = fields[name].strip() if isinstance(fields[name], str) else fields[name]
            if value == "":
                errors[name] = ["This field may not be blank."]
            if value == []:
                errors[name] = ["This list may not be empty."]
        if errors:
            raise Refusal(400, errors)
        return fields


Handler = Callable[[Call], Any]
"""Returns a response, a value to send as JSON, or None for an answer without content (204)."""


class Router:
    """Collects the routes of one module of handlers."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def route(
        self, methods: str, path: str, *, public: bool = False
    ) -> Callable[[Handler], Handler]:
        """Return a decorator that makes a handler answer these methods at this path.

        Handlers run in worker threads. All but GET requests run one at a time, in a transaction.

        Args:
            methods: Separated by spaces.
            path: `{kind}` in it stands for `tasks` and `jobs`.
            public: Answer without authentication.
        """

        def register(handler: Handler) -> Handler:
            async def endpoint(request: Request) -> Response:
                body = await request.body()
                return await run_in_threadpool(_respond, request, body, handler, public)

            for kind in ("jobs", "tasks") if "{kind}" in path else ("",):
                one_path = path.replace("{kind}", kind)
                self.routes.append(Route(one_path, endpoint, methods=methods.split()))
            return handler

        return register


def _respond(request: Request, body: bytes, handler: Handler, public: bool) -> Response:
    try:
        result = _handle(request, body, handler, public)
        if result is None:
            response = Response(status_code=204)
        else:
            response = result if isinstance(result, Response) else answer(result)
    except Refusal as refusal:
        response = answer(refusal.body, refusal.status, refusal.headers)
    accepted = request.headers.get("accept-encoding", "")
    if "gzip" in accepted and len(response.body) >= MIN_GZIP_BYTES:
        # CVAT compresses pictures, too, although that costs clients most of their speed.
        response.body = gzip.compress(response.body, compresslevel=6)
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return response


def _handle(request: Request, body: bytes, handler: Handler, public: bool) -> Any:
    sandbox: Sandbox = request.app.state.sandbox
    accept = request.headers.get("accept", "*/*")
    if "*/*" not in accept and JSON not in accept:
        raise Refusal(406, {"detail": "Could not satisfy the request Accept header."})
    user = {} if public else sandbox.accounts.authenticate(request)
    # The sandbox has no organizations.
    if slug := request.headers.get("x-organization") or request.query_params.get("org"):
        raise Refusal(404, {"detail": f"{slug} organization does not exist."})
    call = Call(sandbox, request, body, user)
    if request.method == "GET":
        return handler(call)
    with sandbox.store.writing():
        return handler(call)
