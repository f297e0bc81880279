"""Fault injection: rules that make chosen requests fail. `/sandbox/faults` sets them."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import attrs
from attrs import define, field, validators
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACTIONS = (
    "none", "status", "reset", "stall", "truncate", "garble", "drip", "repeat", "corrupt_frame",
)  # fmt: skip


@define(kw_only=True)
class Rule:
    """One fault: which requests it affects, and what happens to them."""

    action: str = field(default="none", validator=validators.in_(ACTIONS))
    """`none` only delays. `repeat` carries the request out twice and sends the last answer.
    `corrupt_frame` damages a frame in frame and chunk downloads alike."""
    method: str | None = None
    path: str = ""
    """Regular expression, searched for in the path. The path never ends in a slash."""
    query: str = ""
    """Regular expression, searched for in the query string."""
    skip: int = 0
    """Number of matching requests that pass before the first is affected."""
    times: int | None = 1
    """Number of requests to affect; None: all."""
    probability: float = 1.0
    seed: int = 0
    when: str = field(default="before", validator=validators.in_(("before", "after", "late")))
    """For `status`, `reset` and `stall`. `before`: the request has no effect. `after`: it takes
    effect, but its answer is lost. `late`: it takes effect `lateness` seconds after that."""
    lateness: float = 12.0
    status: int = 503
    retry_after: int | None = None
    """Value of the `Retry-After` header, in seconds."""
    delay: float = 0.0
    """Seconds to wait before the action, whichever it is."""
    seconds: float = 120.0
    """Seconds that `stall` waits before it closes the connection."""
    keep: float = 0.5
    """Share of the body that `truncate` sends, and after which `garble` damages 64 bytes."""
    pace: float = 1.0
    """Seconds between two bytes of `drip`."""
    task: int | None = None
    frame: int | None = None
    how: str = field(default="garbage", validator=validators.in_(("garbage", "truncated")))
    """What `corrupt_frame` puts in place of the picture."""
    matches: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)
    _random: random.Random = field(
        init=False, default=attrs.Factory(lambda rule: random.Random(rule.seed), takes_self=True)
    )

    def applies(self, method: str, path: str, query: str) -> bool:
        """Tell whether the rule affects this request, and count it."""
        if self.action == "corrupt_frame" or self.method not in (None, method):
            return False
        if not (re.search(self.path, path) and re.search(self.query, query)):
            return False
        self.matches += 1
        spent = self.times is not None and self.hits >= self.times
        if self.matches <= self.skip or spent or self._random.random() >= self.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The current rules, and the number of requests by address."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.requests: Counter[str] = Counter()

    def choose(self, method: str, path: str, query: str) -> Rule | None:
        """Count a request and return the first rule that affects it."""
        address = re.sub(r"/(\d+|action=[^/]*|[0-9a-f]{32})(?=/|$)", "/{id}", path)
        if path.endswith(("/data", "/annotations")):
            parameter = re.search(r"\b(type|action)=\w+", query)
            address += f"?{parameter[0]}" if parameter else ""
        self.requests[f"{method} {address}"] += 1
        return next((rule for rule in self.rules if rule.applies(method, path, query)), None)

    def corrupt_any(self, task: int, frames: Iterable[int]) -> bool:
        return any(self._corruption(task, frame) for frame in frames)

    def _corruption(self, task: int, frame: int) -> Rule | None:
        rules = (rule for rule in self.rules if rule.action == "corrupt_frame")
        return next((rule for rule in rules if (rule.task, rule.frame) == (task, frame)), None)

    def apply_to_picture(self, task: int, frame: int, content: bytes) -> bytes:
        """Return the picture as the rules want it served."""
        if (rule := self._corruption(task, frame)) is None:
            return content
        rule.hits += 1
        half = content[: len(content) // 2]
        return half if rule.how == "truncated" else b"this is not a picture"


def _close_connection(send: Send, *, flush: bool = False) -> None:
    """Close the connection: with `flush` after sending what is buffered, else by a TCP reset.

    ASGI has no message for that. uvicorn's `send` is a method of the object with the transport.
    """
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    if flush:
        transport.close()
    else:
        with suppress(OSError):  # the client may have closed it already
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def _read_body(receive: Receive) -> bytes:
    """Return the body, once the client has sent everything and waits for the answer."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


class FaultMiddleware:
    """Applies the rules between the socket and the application."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app, self._faults = app, faults
        self._late: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith(("/annotations/", "/data/")):
            # The SDK uses these addresses with a slash; CVAT accepts them with and without.
            scope = {**scope, "path": scope["path"][:-1]}
        rule, query = None, scope["query_string"].decode("latin-1")
        if not scope["path"].startswith("/sandbox/"):
            rule = self._faults.choose(scope["method"], scope["path"], query)
        await asyncio.sleep(rule.delay if rule else 0)
        if rule is None or rule.action == "none":
            await self._app(scope, receive, send)
            return
        request = await _read_body(receive)
        if rule.action in ("status", "reset", "stall"):
            if rule.when == "after":
                await self._answer(scope, request)
            await _lose_answer(rule, send)
            if rule.when == "late":
                late = asyncio.create_task(self._carry_out_late(rule, scope, request))
                self._late.add(late)
                late.add_done_callback(self._late.discard)
            return
        start, body = await self._answer(scope, request)
        if rule.action == "repeat":
            start, body = await self._answer(scope, request)
        await send(start)
        await _send_damaged(rule, body, receive, send)

    async def _answer(self, scope: Scope, request: bytes) -> tuple[Message, bytes]:
        """Carry out a request; return the start and the body of its answer."""
        answer: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": request, "more_body": False}

        async def collect(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, collect)
        return answer[0], b"".join(message.get("body", b"") for message in answer[1:])

    async def _carry_out_late(self, rule: Rule, scope: Scope, request: bytes) -> None:
        await asyncio.sleep(rule.lateness)
        await self._answer(scope, request)


async def _lose_answer(rule: Rule, send: Send) -> None:
    """Send an error status, or close the connection."""
    if rule.action == "status":
        retry = [] if rule.retry_after is None else [(b"retry-after", b"%d" % rule.retry_after)]
        await send({"type": "http.response.start", "status": rule.status, "headers": retry})
        await send({"type": "http.response.body", "body": b'{"detail": "a fault"}'})
    else:
        await asyncio.sleep(rule.seconds if rule.action == "stall" else 0)
        _close_connection(send)


async def _send_damaged(rule: Rule, body: bytes, receive: Receive, send: Send) -> None:
    """Send the body of an answer whose start is sent."""
    part = body[: int(len(body) * rule.keep)]
    if rule.action == "truncate":
        await send({"type": "http.response.body", "body": part, "more_body": True})
        _close_connection(send, flush=True)
        return
    if rule.action == "garble":
        noise = bytes(byte ^ 0xFF for byte in body[len(part) : len(part) + 64])
        body = part + noise + body[len(part) + len(noise) :]
    elif rule.action == "drip":
        disconnected = asyncio.ensure_future(receive())
        for at in range(len(body)):
            await send({"type": "http.response.body", "body": body[at : at + 1], "more_body": True})
            await asyncio.wait([disconnected], timeout=rule.pace)
            if disconnected.done():
                return
        disconnected.cancel()
        body = b""
    await send({"type": "http.response.body", "body": body})
