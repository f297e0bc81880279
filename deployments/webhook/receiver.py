"""The receiver of CVAT's webhooks: a small HTTP application.

It answers 200 once Prefect has the news, or if there is none; 503 when CVAT or Prefect cannot be
asked now, and the nightly sweep makes up for it: CVAT does not deliver twice (CVAT_FACTS 7).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from cvat_flows.deployments.webhook.announcing import Announcer
from cvat_flows.deployments.webhook.deliveries import (
    SIGNATURE,
    BadDelivery,
    is_signed,
    read_delivery,
)
from cvat_flows.tasks.model.errors import CvatFlowsError

PATH = "/cvat"
LONGEST_BODY = 1 << 20
"""Bytes. A delivery about a task has some 5 KB."""
PATIENCE = 7.0
"""Seconds until an answer: CVAT gives up after 10."""


class TooLong(Exception):
    """The body is longer than any delivery."""


def make_app(
    announcer: Announcer,
    *,
    secret: bytes,
    longest_body: int = LONGEST_BODY,
    patience: float = PATIENCE,
) -> FastAPI:
    """The application; the announcer works while it is up."""
    if not secret:
        raise ValueError("without a secret anybody could start runs")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        work = asyncio.create_task(announcer.run())
        yield
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work

    app = FastAPI(title="cvat-flows webhook", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.post(PATH)
    async def receive(request: Request) -> JSONResponse:
        try:
            body = await _body(request, longest_body)
        except TooLong:
            return _answer(413, f"more than {longest_body:,} bytes")
        if not is_signed(body, request.headers.get(SIGNATURE), secret):
            return _answer(401, f"{SIGNATURE} does not fit the body: check the secret")
        try:
            delivery = read_delivery(body)
        except BadDelivery as error:
            return _answer(400, str(error))
        if delivery.event == "ping":
            return _answer(200, "pong")
        if delivery.task_id is None:
            return _answer(200, "nothing to do")
        try:
            async with asyncio.timeout(patience):
                return _answer(200, await announcer.ask(delivery.task_id))
        except TimeoutError:
            return _answer(503, f"no answer from CVAT or Prefect within {patience:g} s")
        except CvatFlowsError as error:
            return _answer(503, str(error))

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok", "announced": announcer.announced})

    return app


async def _body(request: Request, longest: int) -> bytes:
    """Read the body, but never more than `longest` bytes of it. Raises TooLong."""
    with suppress(ValueError):
        if int(request.headers.get("Content-Length", "0")) > longest:
            raise TooLong
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > longest:
            raise TooLong
    return bytes(body)


def _answer(status: int, text: str) -> JSONResponse:
    headers = {"Retry-After": "30"} if status == 503 else {}
    return JSONResponse({"result": text}, status_code=status, headers=headers)
