"""Send requests to CVAT. All requests except the login (`connection`) go through this module.

It uses the connections and credentials of the SDK's client, but not its methods. They do not back
off, they let urllib3 sleep as long as `Retry-After` says, and they change the client's state, so
threads would need a lock.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlencode

import urllib3
from attrs import frozen
from cvat_sdk import Client
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.helpers import make_request_headers

from cvat_flows.tasks.cvat.answers import NotFromCvat, read_answer
from cvat_flows.tasks.cvat.errors import TRANSIENT_STATUSES, cvat_errors
from cvat_flows.tasks.cvat.explain import describe_body
from cvat_flows.tasks.cvat.retry import (
    DEFAULT_POLICY,
    MAX_CONSECUTIVE_500S,
    RetryPolicy,
    Wait,
    retry_after,
)
from cvat_flows.tasks.model.errors import CvatFlowsError

_BLOCK_SIZE = 1 << 20
_LARGE_BODY = 8 << 20
"""Bytes from which a thread that watches the transfer costs less than reading small blocks."""
_MAX_RATIO = 100
"""Bytes for each received byte of a large compressed body. JSON has at most some 30."""
# urllib3 only follows redirects; retries are ours.
_REDIRECTS = urllib3.Retry(
    total=None, connect=0, read=0, status=0, other=0, redirect=3, status_forcelist=()
)


class DiskFull(CvatFlowsError):
    """The temporary folder has no room for a download."""


class TransferTimeout(urllib3.exceptions.TimeoutError):
    """A request and its answer took longer than `RetryPolicy.transfer_timeout`."""


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


@frozen(kw_only=True)
class Response:
    """A response whose body has not been read."""

    raw: urllib3.HTTPResponse
    deadline: float
    """When reading the body fails, on the monotonic clock."""

    @property
    def status(self) -> int:
        return self.raw.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self.raw.headers

    def read(self) -> bytes:
        """Return the body. Raises TransferTimeout."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """Yield the body in blocks of at most 1 MiB.

        Raises TransferTimeout or, for a large body, IncompleteRead. Raises DecodeError if a
        compressed body, which was not asked for, unpacks to much more than was received.
        """
        size = 0
        for block in self._blocks():
            size += len(block)
            if size > _LARGE_BODY and size > _MAX_RATIO * self.raw.tell():
                raise urllib3.exceptions.DecodeError("the answer unpacks to too many bytes")
            yield block

    def _blocks(self) -> Iterator[bytes]:
        length = self.headers.get("Content-Length", "")
        if length.isdigit() and int(length) >= _LARGE_BODY:
            yield from self._large_blocks()
            return
        # `read` would wait for a whole block, however slowly its bytes arrive.
        while block := self.raw.read1(_BLOCK_SIZE):
            yield block
            if time.monotonic() > self.deadline:
                raise TransferTimeout("the answer arrives too slowly")

    def _large_blocks(self) -> Iterator[bytes]:
        """Yield whole blocks: that is twice as fast, but only another thread can end a read."""
        remaining = max(0.0, self.deadline - time.monotonic())
        watch = threading.Timer(remaining, self.raw.shutdown)
        watch.daemon = True
        watch.start()
        try:
            yield from self.raw.stream(_BLOCK_SIZE)
        finally:
            watch.cancel()


def get_json(
    client: Client,
    path: str,
    *,
    subject: str,
    fields: Collection[str] = (),
    row_fields: Collection[str] = (),
    organization: int | str | None = None,
    **query: Any,
) -> Any:
    """GET `path`, which starts with `/api/`, and decode the JSON.

    `subject` names the object in errors, for example "task 5". `fields` are those that the answer
    must have, and `row_fields` those of its `results`; an answer without them is not CVAT's, and is
    requested again. `organization` overrides the client's organization: an id, or "" for the
    personal workspace.

    Raises CvatRefused if CVAT refuses the request and CvatUnavailable if all attempts fail.
    """
    attempt = 0
    while True:
        attempt += 1
        answer = get(client, path, subject=subject, organization=organization, **query)
        try:
            return read_answer(answer.body, subject=subject, fields=fields, row_fields=row_fields)
        except NotFromCvat:
            if attempt == DEFAULT_POLICY.max_attempts:
                raise
            time.sleep(DEFAULT_POLICY.wait(attempt, None))


def send_json(client: Client, method: str, path: str, body: Any, *, subject: str) -> Any:
    """Send a request with a JSON body once, and decode the answer; None if it is empty.

    Raises CvatRefused and CvatUnavailable. After CvatUnavailable CVAT may have done the work.
    """
    content = b"" if body is None else json.dumps(body).encode()
    with cvat_errors(subject), open_response(client, method, path, body=content) as response:
        if response.status >= 300:
            raise response_error(response)
        return read_answer(response.read() or b"null", subject=subject)


def get_all_pages(
    client: Client, path: str, *, subject: str, fields: Collection[str] = (), **query: Any
) -> Iterator[Any]:
    """Yield the rows of a paginated list, page by page. Raises as `get_json` does.

    `fields` are those that each row must have.
    """
    page = 1
    while True:
        content = get_json(
            client,
            path,
            subject=subject,
            fields=["results"],
            row_fields=fields,
            page=page,
            page_size=500,
            **query,
        )
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
    policy: RetryPolicy | None = None,
    wait: Wait = time.sleep,
    **query: Any,
) -> Answer:
    """GET `path`, which starts with `/api/`, without compression.

    The body is written to `sink`, if given, unless `Content-Length` is below `min_sink_size`
    bytes; `Answer.in_sink` says which. Network errors and transient statuses are retried according
    to `policy`. `wait` may raise an exception to abort.

    Raises CvatRefused if CVAT refuses the request and CvatUnavailable if all attempts fail.
    """
    policy = policy or DEFAULT_POLICY
    attempt = server_errors = 0
    with cvat_errors(subject):
        while True:
            attempt += 1
            try:
                with open_response(
                    client, "GET", path, query=query, organization=organization, policy=policy
                ) as response:
                    if response.status != 200:
                        raise response_error(response)
                    if response.headers.get("Content-Type", "").startswith("text/html"):
                        raise NotFromCvat(subject, describe_body(response.read()))
                    return _read(response, sink, min_sink_size)
            except exceptions.ApiException as error:
                server_errors = server_errors + 1 if error.status == 500 else 0
                requested = retry_after(error.headers)
                if (
                    error.status not in TRANSIENT_STATUSES
                    or server_errors >= MAX_CONSECUTIVE_500S
                    or (requested or 0) > policy.max_wait
                    or attempt == policy.max_attempts
                ):
                    raise
            except (urllib3.exceptions.HTTPError, OSError, NotFromCvat):
                if attempt == policy.max_attempts:
                    raise
                requested = None
            wait(policy.wait(attempt, requested))


@contextmanager
def open_response(
    client: Client,
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: bytes | None = None,
    organization: int | str | None = None,
    policy: RetryPolicy = DEFAULT_POLICY,
    follow_redirects: bool = True,
) -> Iterator[Response]:
    """Send one request, without retries. Read the body of the response inside the block.

    The request asks for an uncompressed body. By default CVAT compresses with gzip, which makes the
    download of images several times slower.
    """
    headers = make_request_headers(client.api_client)
    headers["Accept-Encoding"] = "identity"
    if body is not None:
        headers["Content-Type"] = "application/json"
    fields = {name: value for name, value in (query or {}).items() if value is not None}
    if organization is not None:
        headers.pop("X-Organization", None)
        fields |= {"org_id": organization} if organization != "" else {"org": ""}
    deadline = time.monotonic() + policy.transfer_timeout
    response: urllib3.HTTPResponse = client.api_client.rest_client.pool_manager.request(
        method,
        f"{client.api_map.host}{path}" + (f"?{urlencode(fields)}" if fields else ""),
        body=body,
        headers=dict(headers),
        timeout=urllib3.Timeout(connect=policy.connect_timeout, read=policy.read_timeout),
        retries=_REDIRECTS if method == "GET" and follow_redirects else False,
        preload_content=False,
    )
    try:
        yield Response(raw=response, deadline=deadline)
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()


def _read(response: Response, sink: Sink | None, min_sink_size: int) -> Answer:
    length = response.headers.get("Content-Length", "")
    if sink is None or (length.isdigit() and int(length) < min_sink_size):
        return Answer(body=response.read(), headers=response.headers)
    # An earlier attempt may have written part of the body.
    sink.seek(0)
    sink.truncate(0)
    for block in response.blocks():
        _write(sink, block)
    return Answer(body=b"", headers=response.headers, in_sink=True)


def response_error(response: Response) -> Any:
    """Return the exception that the SDK would raise."""
    error = _error_class(response.status)(status=response.status, reason=response.raw.reason)
    error.body = response.read()
    error.headers = response.headers
    return error


def _error_class(status: int) -> Any:
    """Return the exception class of the SDK for a status (cvat_sdk/api_client/rest.py)."""
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
