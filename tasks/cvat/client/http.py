"""Read from CVAT, with retries, and send JSON to it.

All requests are sent by `response.open_response`, also those of `job_annotations` and `login`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import urllib3
from attrs import frozen
from cvat_sdk import Client
from cvat_sdk.api_client import exceptions

from cvat_flows.tasks.cvat.client.answers import NotFromCvat, read_answer
from cvat_flows.tasks.cvat.client.errors import TRANSIENT_STATUSES, cvat_errors
from cvat_flows.tasks.cvat.client.explain import describe_body
from cvat_flows.tasks.cvat.client.response import Response, open_response, response_error
from cvat_flows.tasks.cvat.client.retry import (
    DEFAULT_POLICY,
    MAX_CONSECUTIVE_500S,
    RetryPolicy,
    Wait,
    retry_after,
)
from cvat_flows.tasks.model.errors import CvatFlowsError


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


def _write(sink: Sink, block: bytes) -> None:
    try:
        sink.write(block)
    except OSError as error:
        raise DiskFull(
            f"cannot write a download to the folder {tempfile.gettempdir()!r} ({error.strerror}): "
            "free some space there, or set TMPDIR to another folder"
        ) from error
