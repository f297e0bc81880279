"""Send GET requests to CVAT. Transient errors are retried; others fail immediately.

This uses the connections and credentials of the SDK's client, but not its methods. They do not
back off, they let urllib3 sleep as long as `Retry-After` says, and they change the client's state,
so threads would need a lock.
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

from cvat_flows.tasks.cvat.connection import CONNECT_TIMEOUT, READ_TIMEOUT
from cvat_flows.tasks.cvat.errors import TRANSIENT_STATUSES, cvat_errors
from cvat_flows.tasks.model.errors import CvatFlowsError

MAX_ATTEMPTS = 6
MAX_ATTEMPTS_ON_500 = 3
"""502, 503 and 504 mean that CVAT is busy. 500 often means that CVAT cannot read the image, and
then it never will."""
MAX_WAIT = 60.0
"""Seconds between two attempts. If `Retry-After` asks for more, the request fails."""

_BLOCK_SIZE = 1 << 20


class DiskFull(CvatFlowsError):
    """The temporary folder has no room for a download."""


class Sink(Protocol):
    """A seekable binary file that receives a response body."""

    def write(self, data: bytes, /) -> Any: ...
    def seek(self, offset: int, /) -> Any: ...
    def truncate(self, size: int, /) -> Any: ...


@frozen(kw_only=True)
class Answer:
    """A response with status 200. `body` is empty if the body was written to a sink."""

    body: bytes
    headers: Mapping[str, str]
    in_sink: bool = False


Wait = Callable[[float], None]


def get_json(
    client: Client, path: str, *, subject: str, organization: int | str | None = None, **query: Any
) -> Any:
    """GET `path`, which starts with `/api/`, and decode the JSON.

    `subject` names the object in errors, for example "task 5". `organization` overrides the
    client's organization: an id, or "" for the personal workspace.

    Raises CvatRefused if CVAT refuses the request and CvatUnavailable if all attempts fail.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        answer = get(client, path, subject=subject, organization=organization, **query)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            if attempt == MAX_ATTEMPTS:
                with cvat_errors(subject):
                    raise urllib3.exceptions.ProtocolError("body is not JSON") from error
            time.sleep(_backoff(attempt))
    raise AssertionError("unreachable")


def get_all_pages(client: Client, path: str, *, subject: str, **query: Any) -> Iterator[Any]:
    """Yield the rows of a paginated list, page by page. Raises as `get_json` does."""
    page = 1
    while True:
        content = get_json(client, path, subject=subject, page=page, page_size=500, **query)
        yield from content["results"]
        if not content.get("next"):
            return
        page += 1


def get(
    client: Client,
    path: str,
    *,
    subject: str,
    sink: Sink | None = None,
    min_sink_size: int = 0,
    organization: int | str | None = None,
    attempts: int = MAX_ATTEMPTS,
    wait: Wait = time.sleep,
    **query: Any,
) -> Answer:
    """GET `path`, which starts with `/api/`, without compression.

    By default CVAT compresses bodies with gzip, which makes the download of images several times
    slower (CVAT_FACTS 4).

    The body is written to `sink`, if given, unless `Content-Length` is below `min_sink_size`
    bytes; `Answer.in_sink` says which. Network errors and transient statuses are retried with
    growing waits, up to `attempts` requests. `wait` may raise an exception to abort.

    Raises CvatRefused if CVAT refuses the request and CvatUnavailable if all attempts fail.
    """
    pool = client.api_client.rest_client.pool_manager
    url = client.api_map.host + path
    headers = make_request_headers(client.api_client)
    headers["Accept-Encoding"] = "identity"
    if organization is not None:
        headers.pop("X-Organization", None)
        query |= {"org_id": organization} if organization != "" else {"org": ""}
    with cvat_errors(subject):
        for attempt in range(1, attempts + 1):
            try:
                return _get_once(pool, url, query, headers, sink, min_sink_size)
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
    min_sink_size: int,
) -> Answer:
    response = pool.request(
        "GET",
        url,
        fields={name: value for name, value in query.items() if value is not None},
        headers=dict(headers),
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        # urllib3 only follows redirects; `get` retries.
        retries=urllib3.Retry(
            total=None, connect=0, read=0, status=0, other=0, redirect=3, status_forcelist=()
        ),
        preload_content=False,
    )
    try:
        if response.status != 200:
            refusal = _exception(response.status)(status=response.status, reason=response.reason)
            refusal.body = response.read(_BLOCK_SIZE)
            refusal.headers = response.headers
            raise refusal
        length = response.headers.get("Content-Length", "")
        if sink is None or (length.isdigit() and int(length) < min_sink_size):
            return Answer(body=response.read(), headers=response.headers)
        # An earlier attempt may have written part of the body.
        sink.seek(0)
        sink.truncate(0)
        for block in response.stream(_BLOCK_SIZE):
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
        raise DiskFull(
            f"cannot write a download to the folder {tempfile.gettempdir()!r} ({error.strerror}): "
            "free some space there, or set TMPDIR to another folder"
        ) from error


def _pause_before_retry(error: Exception, attempt: int) -> float | None:
    """Return the seconds to wait before the next attempt; None if there should be none."""
    if not isinstance(error, exceptions.ApiException):
        return _backoff(attempt)
    if error.status not in TRANSIENT_STATUSES:
        return None
    if error.status == 500 and attempt >= MAX_ATTEMPTS_ON_500:
        return None
    requested = _retry_after(error.headers)
    if requested is None:
        return _backoff(attempt)
    return requested if requested <= MAX_WAIT else None


def _backoff(attempt: int) -> float:
    """Return half a second, doubled for each attempt, with jitter so that threads spread out."""
    return min(MAX_WAIT, 0.5 * 2.0 ** (attempt - 1)) * random.uniform(0.75, 1.25)


def _retry_after(headers: Mapping[str, str] | None) -> float | None:
    try:
        return max(0.0, float((headers or {}).get("Retry-After", "")))
    except ValueError:
        return None


class Interrupted(Exception):
    """A wait was aborted because the result is no longer needed."""


def interruptible(stop: threading.Event) -> Wait:
    """Return a function for `get(wait=...)` that raises Interrupted once `stop` is set."""

    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise Interrupted

    return wait
