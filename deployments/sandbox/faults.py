"""Misbehaviour on command: which requests go wrong, and how. `/sandbox/faults` sets the rules."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import attrs
from attrs import define, field, validators
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cvat_flows.deployments.sandbox.web import Call, Refusal, denied, route

ACTIONS = ("none", "status", "reset", "truncate", "garble", "stall", "corrupt_frame")


@define(kw_only=True)
class Rule:
    """One fault: which requests it hits, and what happens to them."""

    action: str = field(default="none", validator=validators.in_(ACTIONS))
    """`none` only delays. `corrupt_frame` hits a picture, whatever it is served in."""
    method: str | None = None
    path: str = ""
    """Regular expression, searched for in the path (which never ends in a slash)."""
    query: str = ""
    """Regular expression, searched for in the query string."""
    skip: int = 0
    """Matching requests to leave alone first."""
    times: int | None = 1
    """Requests to hit; None for all."""
    probability: float = 1.0
    seed: int = 0
    when: str = field(default="before", validator=validators.in_(("before", "after")))
    """Before the work, which is then not done, or after it."""
    status: int = 503
    retry_after: int | None = None
    """Seconds, for the header of that name."""
    delay: float = 0.0
    """Seconds to wait first, with any action."""
    seconds: float = 120.0
    """How long `stall` keeps the client waiting before it drops the connection."""
    keep: float = 0.5
    """Share of the body that `truncate` sends, and after which `garble` damages 64 bytes."""
    task: int | None = None
    frame: int | None = None
    how: str = field(default="garbage", validator=validators.in_(("garbage", "truncated")))
    """What `corrupt_frame` makes of the picture."""
    matches: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)
    _dice: random.Random = field(
        init=False, default=attrs.Factory(lambda rule: random.Random(rule.seed), takes_self=True)
    )

    def fires(self, method: str, path: str, query: str) -> bool:
        """Whether this request is hit; counts it."""
        if self.action == "corrupt_frame" or self.method not in (None, method):
            return False
        if not (re.search(self.path, path) and re.search(self.query, query)):
            return False
        self.matches += 1
        spent = self.times is not None and self.hits >= self.times
        if self.matches <= self.skip or spent or self._dice.random() >= self.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules in force, and how often each address was asked for."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.requests: Counter[str] = Counter()

    def choose(self, method: str, path: str, query: str) -> Rule | None:
        """Count a request; the first rule that hits it, if one does."""
        address = re.sub(r"/(\d+|action=[^/]*|[0-9a-f]{32})(?=/|$)", "/{id}", path)
        kind = re.search(r"\b(type|action)=\w+", query)
        telling = kind if path.endswith(("/data", "/annotations")) else None
        self.requests[f"{method} {address}" + (f"?{telling[0]}" if telling else "")] += 1
        return next((rule for rule in self.rules if rule.fires(method, path, query)), None)

    def corrupts(self, task: int, frames: Iterable[int]) -> bool:
        return any(self._rule_for(task, frame) for frame in frames)

    def _rule_for(self, task: int, frame: int) -> Rule | None:
        rules = (rule for rule in self.rules if rule.action == "corrupt_frame")
        return next((rule for rule in rules if (rule.task, rule.frame) == (task, frame)), None)

    def corrupted(self, task: int, frame: int, content: bytes) -> bytes:
        """A picture as it is to be served."""
        if (rule := self._rule_for(task, frame)) is None:
            return content
        rule.hits += 1
        half = content[: len(content) // 2]
        return half if rule.how == "truncated" else b"this is not a picture"


def _drop(send: Send, *, flush: bool = False) -> None:
    """Close the client's connection: with `flush` after what was sent, else by a TCP reset.

    An application cannot do that by itself; uvicorn's `send` is a method of what has the transport.
    """
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    if flush:
        transport.close()
    else:
        with suppress(OSError):  # the client may have gone by itself
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class FaultMiddleware:
    """Between the socket and the application: carries out the rules."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app, self._faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith(("/annotations/", "/data/")):
            # The SDK's addresses; CVAT takes these two either way.
            scope = {**scope, "path": scope["path"][:-1]}
        rule, query = None, scope["query_string"].decode("latin-1")
        if not scope["path"].startswith("/sandbox/"):
            rule = self._faults.choose(scope["method"], scope["path"], query)
        await asyncio.sleep(rule.delay if rule else 0)
        if rule is None or rule.action == "none":
            await self._app(scope, receive, send)
        else:
            await self._misbehave(rule, scope, receive, send)

    async def _misbehave(self, rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        if rule.when == "after" or rule.action in ("truncate", "garble"):
            await self._app(scope, receive, keep)
        else:
            while (await receive()).get("more_body"):
                pass  # the client has sent everything and waits for the answer
        body = b"".join(message.get("body", b"") for message in answer[1:])
        part = body[: int(len(body) * rule.keep)]
        if rule.action in ("stall", "reset"):
            await asyncio.sleep(rule.seconds if rule.action == "stall" else 0)
            _drop(send)
        elif rule.action == "status":
            retry = [] if rule.retry_after is None else [(b"retry-after", b"%d" % rule.retry_after)]
            start = {"type": "http.response.start", "status": rule.status, "headers": retry}
            await send(start)
            await send({"type": "http.response.body", "body": b'{"detail": "a fault"}'})
        elif rule.action == "garble":
            noise = bytes(byte ^ 0xFF for byte in body[len(part) : len(part) + 64])
            garbled = part + noise + body[len(part) + len(noise) :]
            await send(answer[0])
            await send({"type": "http.response.body", "body": garbled})
        else:
            await send(answer[0])
            await send({"type": "http.response.body", "body": part, "more_body": True})
            _drop(send, flush=True)


def _faults(call: Call) -> Faults:
    if not call.user["is_superuser"]:
        raise denied()
    return call.sandbox.faults


@route("GET POST DELETE", "/sandbox/faults")
def rules(call: Call) -> Any:
    faults = _faults(call)
    if call.request.method != "GET":
        try:
            faults.rules = [Rule(**spec) for spec in call.json() or ()]
        except (TypeError, ValueError) as error:
            raise Refusal(400, [str(error)]) from None
    shown = attrs.filters.exclude("_dice")
    return [attrs.asdict(rule, filter=shown) for rule in faults.rules]


@route("GET DELETE", "/sandbox/requests")
def requests(call: Call) -> Any:
    faults = _faults(call)
    if call.request.method == "DELETE":
        faults.requests.clear()
    return dict(faults.requests)
