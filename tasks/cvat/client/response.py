"""Send one request to CVAT and read its answer, within time and size limits.

It uses the connections and credentials of the SDK's client, but not its methods. They do not back
off, they let urllib3 sleep as long as `Retry-After` says, and they change the client's state, so
threads would need a lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import urllib3
from attrs import frozen
from cvat_sdk import Client
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.helpers import make_request_headers

from cvat_flows.tasks.cvat.client.retry import DEFAULT_POLICY, RetryPolicy

_BLOCK_SIZE = 1 << 20
_LARGE_BODY = 8 << 20
"""Bytes from which a thread that watches the transfer costs less than reading small blocks."""
_MAX_RATIO = 100
"""Bytes for each received byte of a large compressed body. JSON has at most some 30."""
# urllib3 only follows redirects; retries are ours.
_REDIRECTS = urllib3.Retry(
    total=None, connect=0, read=0, status=0, other=0, redirect=3, status_forcelist=()
)


class TransferTimeout(urllib3.exceptions.TimeoutError):
    """A request and its answer took longer than `RetryPolicy.transfer_timeout`."""


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
