"""The receiver of CVAT's webhooks, a small HTTP application.

It answers 200 when Prefect has the event or there is nothing to announce, and 503 when CVAT or
Prefect is unavailable. CVAT does not repeat a delivery: the nightly sweep finds those tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from cvat_flows.deployments.webhook.announcer import Announcer
from cvat_flows.deployments.webhook.delivery import (
    SIGNATURE_HEADER,
    BadDelivery,
    is_signed,
    read_delivery,
)
from cvat_flows.tasks.model.errors import CvatFlowsError

PATH = "/cvat"
MAX_BODY_BYTES = 1 << 20
"""A delivery about a task has some 5 KB."""
ANSWER_TIMEOUT = 7.0
"""In seconds. CVAT gives up after 10."""


class BodyTooLong(Exception):
    """The body is longer than any delivery."""


def make_app(
    announcer: Announcer,
    *,
    secret: bytes,
    max_body_bytes: int = MAX_BODY_BYTES,
    answer_timeout: float = ANSWER_TIMEOUT,
) -> FastAPI:
    """Make the application. It runs the announcer from startup to shutdown."""
    if not secret:
        raise ValueError("an empty secret would let anybody start runs")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        announcing = asyncio.create_task(announcer.run())
        yield
        announcing.cancel()
        with suppress(asyncio.CancelledError):
            await announcing

    app = FastAPI(title="cvat-flows webhook", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.post(PATH)
    async def receive(request: Request) -> JSONResponse:
        try:
            body = await _read_body(request, max_body_bytes)
        except BodyTooLong:
            return _answer(413, f"the body is longer than {max_body_bytes:,} bytes")
        if not is_signed(body, request.headers.get(SIGNATURE_HEADER), secret):
            return _answer(
                401, f"{SIGNATURE_HEADER} does not match: CVAT and the receiver need one secret"
            )
        try:
            delivery = read_delivery(body)
        except BadDelivery as error:
            return _answer(400, str(error))
        if delivery.event == "ping":
            return _answer(200, "pong")
        if delivery.task_id is None:
            return _answer(200, "nothing to do")
        try:
            async with asyncio.timeout(answer_timeout):
                return _answer(200, await announcer.ask(delivery.task_id))
        except TimeoutError:
            return _answer(503, f"no answer from CVAT or Prefect within {answer_timeout:g} s")
        except CvatFlowsError as error:
            return _answer(503, str(error))

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok", "announced": announcer.announced})

    return app


async def _read_body(request: Request, max_bytes: int) -> bytes:
    """Read the body, but no more than `max_bytes` of it. Raises BodyTooLong."""
    with suppress(ValueError):
        if int(request.headers.get("Content-Length", "0")) > max_bytes:
            raise BodyTooLong
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise BodyTooLong
    return bytes(body)


def _answer(status: int, text: str) -> JSONResponse:
    headers = {"Retry-After": "30"} if status == 503 else {}
    return JSONResponse({"result": text}, status_code=status, headers=headers)
