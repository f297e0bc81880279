"""The receiver of CVAT's webhooks, a small HTTP application.

It answers 200 when the delivery is accepted or there is nothing to do, and 503 when Prefect starts
no sweeps. Most versions of CVAT do not repeat a delivery, so the receiver keeps it all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cvat_flows.deployments.webhook.debounce import SweepStarter
from cvat_flows.deployments.webhook.delivery import (
    SIGNATURE_HEADER,
    BadDelivery,
    is_signed,
    read_delivery,
)
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.text import on_one_line

log = logging.getLogger("cvat_flows.webhook")

PATH = "/cvat"
MAX_BODY_BYTES = 1 << 20
"""A delivery about a task has some 5 KB."""
BODY_TIMEOUT = 8.0
"""In seconds. CVAT gives up after 10."""


class Refused(Exception):
    """The receiver does not accept a request.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def make_app(
    sweeps: SweepStarter,
    *,
    secret: bytes,
    max_body_bytes: int = MAX_BODY_BYTES,
    body_timeout: float = BODY_TIMEOUT,
) -> Starlette:
    """Make the application. It starts sweeps from startup to shutdown."""
    if not secret:
        raise ValueError("an empty secret would let anybody start sweeps")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        starting = asyncio.create_task(sweeps.run())
        yield
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        await sweeps.close()

    async def receive(request: Request) -> JSONResponse:
        try:
            body = await _read_body(request, max_body_bytes, body_timeout)
            if not is_signed(body, request.headers.get(SIGNATURE_HEADER), secret):
                raise Refused(
                    401, f"{SIGNATURE_HEADER} does not match: CVAT and the receiver need one secret"
                )
            delivery = read_delivery(body)
        except BadDelivery as error:
            return _refuse(request, 400, str(error))
        except Refused as error:
            return _refuse(request, error.status, str(error))
        try:
            status = 200
            text = "pong" if delivery.event == "ping" else sweeps.ask(delivery)
        except CvatFlowsError as error:
            status, text = 503, str(error)
        log.log(
            logging.INFO if status == 200 else logging.WARNING,
            "%s: %s",
            on_one_line(str(delivery), 200),
            text,
        )
        return _answer(status, text)

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "sweeps": sweeps.started, "waiting": sweeps.waiting})

    routes = [Route(PATH, receive, methods=["POST"]), Route("/health", health)]
    return Starlette(routes=routes, lifespan=lifespan)


async def _read_body(request: Request, max_bytes: int, timeout: float) -> bytes:
    """Read the body within `timeout` seconds, but no more than `max_bytes`. Raises Refused."""
    too_long = Refused(413, f"the body is longer than {max_bytes:,} bytes")
    with suppress(ValueError):
        if int(request.headers.get("Content-Length", "0")) > max_bytes:
            raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    raise too_long
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {timeout:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the connection was closed before the end of the body") from None
    return bytes(body)


def _refuse(request: Request, status: int, reason: str) -> JSONResponse:
    log.warning("refused a request from %s: %s", request.client and request.client.host, reason)
    return _answer(status, reason)


def _answer(status: int, text: str) -> JSONResponse:
    headers = {"Retry-After": "30"} if status == 503 else {}
    return JSONResponse({"result": text}, status_code=status, headers=headers)
