"""HTTP the way CVAT speaks it: calls, refusals, routes, media type, compression."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cvat_flows.deployments.sandbox.resources import may, view
from cvat_flows.deployments.sandbox.store import Row

if TYPE_CHECKING:
    from cvat_flows.deployments.sandbox.server import Sandbox

JSON = "application/vnd.cvat+json"
GZIP_FROM_BYTES = 200  # as measured on CVAT
REQUIRED = ["This field is required."]
TOO_LOW = ["Ensure this value is greater than or equal to 0."]


class Refusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status, self.body, self.headers = status, body, headers


def denied() -> Refusal:
    return Refusal(403, {"detail": "You do not have permission to perform this action."})


class Call:
    """One request, with the account that makes it."""

    def __init__(self, sandbox: Sandbox, request: Request, body: bytes, user: Row) -> None:
        self.sandbox, self.store, self.user = sandbox, sandbox.store, user
        self.request, self.headers, self.body = request, request.headers, body
        self.query: dict[str, str] = dict(request.query_params)
        self.path: dict[str, Any] = request.path_params
        self.base = str(request.base_url).rstrip("/")
        """What URLs in answers begin with."""

    def find(self, kind: str, row_id: int | None = None) -> Row:
        """The thing that it is about: 404 for anybody if there is none, 403 if it is foreign."""
        row = self.store.get(kind, self.path["id"] if row_id is None else row_id)
        if row is None:
            raise Refusal(404, {"detail": f"No {kind.title()} matches the given query."})
        if not may(self.store, self.user, kind, row):
            raise denied()
        return row

    def subject(self) -> tuple[Row, Row | None, Row | None]:
        """The task, the job if it is about one, and the data if there are any, of a `{kind}`."""
        job = self.find("job") if self.request.url.path.startswith("/api/jobs/") else None
        task = self.find("task") if job is None else self.store.at("task", job["task_id"])
        return task, job, self.store.get("data", task["id"])

    def view(self, kind: str, row: Row) -> Row:
        return view(self.store, kind, row, self.base)

    def shown(self, kind: str, row: Row, status: int = 200) -> Response:
        return answer(self.view(kind, row), status)

    def changed(self, kind: str, row: Row, before: Row | None = None) -> None:
        """Move the date of a changed task or job, and tell who listens what was there before."""
        self.sandbox.changed(kind, row, self.user, self.base, before)

    def tell(self, event: str, row: Row) -> None:
        self.sandbox.notifier.tell(event, row, self.user, self.base)

    def json(self) -> Any:
        try:
            return orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError as error:
            raise Refusal(400, {"detail": f"JSON parse error - {error}"}) from None

    def fields(self, *required: str) -> Row:
        """The body, an object that has what is required and no blanks there."""
        fields = self.json()
        if not isinstance(fields, dict):
            raise Refusal(400, {"non_field_errors": ["Invalid data. Expected a dictionary."]})
        errors = {name: REQUIRED for name in required if fields.get(name) is None}
        for name in fields.keys() & set(required):
            value = fields[name].strip() if isinstance(fields[name], str) else fields[name]
            if value in ("", []):
                what = "field may not be blank" if value == "" else "list may not be empty"
                errors[name] = [f"This {what}."]
        if errors:
            raise Refusal(400, errors)
        return fields


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    """JSON; `bytes` are JSON already. `Two_words` become a header `Two-words`."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(content, status, named, media_type=JSON)


ROUTES: list[Route] = []
Handler = Callable[[Call], Any]


def route(methods: str, path: str, *, public: bool = False) -> Callable[[Handler], Handler]:
    """Register a handler. It runs in a worker thread, all but GET one at a time, as a transaction.

    It gives a response, or what is to be JSON, or None for an answer without content. `{kind}` in
    the path stands for `tasks` and `jobs`.
    """

    def register(handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(_respond, request, await request.body(), handler, public)

        paths = {path.replace("{kind}", kind) for kind in ("tasks", "jobs")}
        ROUTES.extend(Route(one, endpoint, methods=methods.split()) for one in sorted(paths))
        return handler

    return register


def _respond(request: Request, body: bytes, handler: Handler, public: bool) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    try:
        accept = request.headers.get("accept", "*/*")
        if "*/*" not in accept and JSON not in accept:
            raise Refusal(406, {"detail": "Could not satisfy the request Accept header."})
        user = {} if public else sandbox.authenticate(request)
        slug = request.headers.get("x-organization") or request.query_params.get("org")
        if slug:  # there are no organizations here
            raise Refusal(404, {"detail": f"{slug} organization does not exist."})
        call = Call(sandbox, request, body, user)
        if request.method == "GET":
            made = handler(call)
        else:
            with sandbox.store.writing():
                made = handler(call)
        response = Response(status_code=204) if made is None else made
        response = response if isinstance(response, Response) else answer(response)
    except Refusal as refusal:
        response = answer(refusal.body, refusal.status, **(refusal.headers or {}))
    accepted = request.headers.get("accept-encoding", "")
    if "gzip" in accepted and len(response.body) >= GZIP_FROM_BYTES:
        # CVAT does it with pictures too: it costs a client most of its speed.
        response.body = gzip.compress(response.body, compresslevel=6)
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return response
