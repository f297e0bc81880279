"""GET from CVAT: patient with what passes, quick to give up on what does not.

The SDK's client lends its connections and credentials, but not its call path: that one has no
back-off, lets urllib3 sleep for as long as a `Retry-After` says, and changes the client's state,
so that threads would need a lock.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import urllib3
from attrs import frozen
from cvat_sdk import Client
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.helpers import make_request_headers

from cvat_flows.tasks.cvat.errors import PASSING, cvat_errors
from cvat_flows.tasks.model.errors import CvatFlowsError

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 120.0
"""Seconds of silence, not of the whole transfer. A chunk that is still to be built can take long
before its first byte."""
ATTEMPTS = 6
ATTEMPTS_ON_500 = 3
"""Fewer: where 502, 503 and 504 speak of load, 500 is CVAT's answer to an image that it cannot
read itself, and stays."""
LONGEST_WAIT = 60.0
"""Seconds between two attempts; a `Retry-After` beyond it is not waited for."""

_BLOCK = 1 << 20


class NoRoom(CvatFlowsError):
    """The temporary folder cannot take a download."""


class Sink(Protocol):
    """What a body is written to: any binary file that can be rewound."""

    def write(self, data: bytes, /) -> Any: ...
    def seek(self, offset: int, /) -> Any: ...
    def truncate(self, size: int, /) -> Any: ...


@frozen(kw_only=True)
class Answer:
    """Headers of a 200 and, unless it went to a sink, its body."""

    body: bytes
    headers: Mapping[str, str]
    in_sink: bool = False


Wait = Callable[[float], None]


def get_json(
    client: Client, path: str, *, what: str, organization: int | str | None = None, **query: Any
) -> Any:
    """GET `path` (from `/api/`) and decode its JSON.

    `what` names the object in errors ("task 5"). `organization` is an id, or "" for the personal
    workspace, where the client's own organization must not apply. Raises CvatRefused for a final
    refusal and CvatUnavailable when all attempts failed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        answer = get(client, path, what=what, organization=organization, **query)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            if attempt == ATTEMPTS:
                with cvat_errors(what):
                    raise urllib3.exceptions.ProtocolError("body is no JSON") from error
            time.sleep(_backoff(attempt))
    raise AssertionError("unreachable")


def get_all_pages(client: Client, path: str, *, what: str, **query: Any) -> Iterator[Any]:
    """Yield the rows of all pages of a list."""
    page = 1
    while True:
        content = get_json(client, path, what=what, page=page, page_size=500, **query)
        yield from content["results"]
        if not content.get("next"):
            return
        page += 1


def get(
    client: Client,
    path: str,
    *,
    what: str,
    sink: Sink | None = None,
    sink_from: int = 0,
    organization: int | str | None = None,
    attempts: int = ATTEMPTS,
    wait: Wait = time.sleep,
    **query: Any,
) -> Answer:
    """GET `path`, asking for an unpacked transfer.

    The body goes into `sink`, if there is one and the body is not known to have less than
    `sink_from` bytes; `Answer.in_sink` says whether it did.

    CVAT packs bodies with gzip by default, which costs three quarters of the speed for images
    (CVAT_FACTS 4). Network errors, 429 and 5xx are tried again with growing waits, `attempts`
    times in all. `wait` may raise to break off. Raises CvatRefused and CvatUnavailable.
    """
    pool = client.api_client.rest_client.pool_manager
    url = client.api_map.host + path
    headers = make_request_headers(client.api_client)
    headers["Accept-Encoding"] = "identity"
    if organization is not None:
        headers.pop("X-Organization", None)
        query |= {"org_id": organization} if organization != "" else {"org": ""}
    with cvat_errors(what):
        for attempt in range(1, attempts + 1):
            try:
                return _get_once(pool, url, query, headers, sink, sink_from)
            except (exceptions.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                pause = _pause_before_retry(error, attempt)
                if attempt >= attempts or pause is None:
                    raise
            wait(pause)
    raise AssertionError("unreachable")


def _get_once(
    pool: Any,
    url: str,
    query: dict[str, Any],
    headers: dict[str, str],
    sink: Sink | None,
    sink_from: int,
) -> Answer:
    response = pool.request(
        "GET",
        url,
        fields={name: value for name, value in query.items() if value is not None},
        headers=dict(headers),
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        # Redirects only: the waits are ours.
        retries=urllib3.Retry(
            total=None, connect=0, read=0, status=0, other=0, redirect=3, status_forcelist=()
        ),
        preload_content=False,
    )
    try:
        if response.status != 200:
            refusal = _exception(response.status)(status=response.status, reason=response.reason)
            refusal.body = response.read(_BLOCK)
            refusal.headers = response.headers
            raise refusal
        length = response.headers.get("Content-Length", "")
        if sink is None or (length.isdigit() and int(length) < sink_from):
            return Answer(body=response.read(), headers=response.headers)
        # A torn transfer may have left the beginning of a body.
        sink.seek(0)
        sink.truncate(0)
        for block in response.stream(_BLOCK):
            _write(sink, block)
        return Answer(body=b"", headers=response.headers, in_sink=True)
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()


def _exception(status: int) -> Any:
    """The class that the SDK raises for this status (cvat_sdk/api_client/rest.py)."""
    if 500 <= status <= 599:
        return exceptions.ServiceException
    return {
        401: exceptions.UnauthorizedException,
        403: exceptions.ForbiddenException,
        404: exceptions.NotFoundException,
    }.get(status, exceptions.ApiException)


def _write(sink: Sink, block: bytes) -> None:
    try:
        sink.write(block)
    except OSError as error:
        raise NoRoom(
            f"cannot keep a download in the folder {tempfile.gettempdir()!r} ({error.strerror}): "
            "make room there, or name another folder in TMPDIR"
        ) from error


def _pause_before_retry(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before the next attempt; None if another one is pointless."""
    if not isinstance(error, exceptions.ApiException):
        return _backoff(attempt)
    if error.status not in PASSING:
        return None
    if error.status == 500 and attempt >= ATTEMPTS_ON_500:
        return None
    asked = _retry_after(error.headers)
    if asked is None:
        return _backoff(attempt)
    return asked if asked <= LONGEST_WAIT else None


def _backoff(attempt: int) -> float:
    """Half a second, doubling, with jitter so that threads do not return in step."""
    return min(LONGEST_WAIT, 0.5 * 2.0 ** (attempt - 1)) * random.uniform(0.75, 1.25)


def _retry_after(headers: Mapping[str, str] | None) -> float | None:
    try:
        return max(0.0, float((headers or {}).get("Retry-After", "")))
    except ValueError:
        return None


class Interrupted(Exception):
    """A wait was broken off because its result is no longer wanted."""


def interruptible(stop: threading.Event) -> Wait:
    """A `wait` that raises Interrupted as soon as `stop` is set."""

    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise Interrupted

    return wait
