"""Call a function by HTTP: time-outs, retries, and one sentence for what goes wrong."""

from __future__ import annotations

import os
import random
import re
import time
from typing import Any
from urllib.parse import urlsplit

import orjson
import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from aa_functions.errors import NuclioError

AUTHORIZATION = "CVAT_FLOWS_NUCLIO_AUTHORIZATION"
"""Environment variable with the `Authorization` header of each request. Not a parameter, because
parameters are shown and stored."""
CONNECT_TIMEOUT = 10.0
FIRST_WAIT = 0.5
MAX_WAIT = 30.0
_EXCERPT = 200


class FunctionClient:
    """Sends requests to one URL. Several threads may use it at the same time.

    Args:
        url: `http` or `https`.
        timeout: Seconds to wait for an answer. A request that takes longer is not repeated.
        retries: How often a request is repeated after 429, a 5xx status or a lost connection.
        concurrency: Most requests at a time; further callers wait.

    Raises:
        NuclioError: if the URL cannot be used.
    """

    def __init__(self, url: str, *, timeout: float, retries: int, concurrency: int) -> None:
        _check_url(url)
        self._url = url
        self._timeout = timeout
        self._retries = retries
        self._pool = urllib3.PoolManager(
            maxsize=concurrency,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
        )

    def call(self, body: bytes) -> Any:
        """Send a request and return the JSON of the answer.

        Raises:
            NuclioError: if there is no answer, or not one with JSON.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if authorization := os.environ.get(AUTHORIZATION):
            headers["Authorization"] = authorization
        attempt = 0
        while True:
            attempt += 1
            error, asked_wait = None, None
            try:
                answer = self._pool.request(
                    "POST", self._url, body=body, headers=headers, redirect=False
                )
                if answer.status < 300:
                    return self._json(answer.data)
                error = self._refusal(answer, attempt)
                if answer.status != 429 and answer.status < 500:
                    raise error
                asked_wait = answer.headers.get("Retry-After")
            except ReadTimeoutError as timeout:
                raise NuclioError(
                    f"The function at '{self._url}' did not answer within {self._timeout:g} s: "
                    "give it more time with 'timeout', or lower 'concurrency' if its workers are "
                    "all busy."
                ) from timeout
            except HTTPError as lost:
                error = NuclioError(
                    f"The function at '{self._url}' does not answer ({_reason(lost)}; "
                    f"{_times(attempt)}): start it, or correct 'url'."
                )
                error.__cause__ = lost
            if attempt > self._retries:
                raise error
            time.sleep(_wait(attempt, asked_wait))

    def _json(self, content: bytes) -> Any:
        try:
            return orjson.loads(content)
        except ValueError as error:
            raise NuclioError(
                f"'{self._url}' answers something else than JSON ({_excerpt(content)!r}): 'url' "
                "must be that of a Nuclio detector of CVAT."
            ) from error

    def _refusal(self, answer: urllib3.BaseHTTPResponse, attempt: int) -> NuclioError:
        """Return the error for a status that is not a success."""
        status = answer.status
        said = f", {_excerpt(answer.data)!r}" if answer.data else ""
        start = f"The function at '{self._url}' answers {status} {answer.reason or ''}".rstrip()
        if 300 <= status < 400:
            target = answer.headers.get("Location", "another URL")
            return NuclioError(f"{start} to '{target}': if you trust that one, make it the 'url'.")
        if status == 413:
            return NuclioError(
                f"{start}: raise maxRequestBodySize of its HTTP trigger in function.yaml, or set "
                "'image_format' to jpeg."
            )
        if status in (401, 403):
            return NuclioError(
                f"{start}: set the environment variable {AUTHORIZATION} to the Authorization "
                "header that it expects."
            )
        if status in (429, 503):
            return NuclioError(
                f"{start} ({_times(attempt)}): its workers are busy. Lower 'concurrency' to its "
                "number of workers (numWorkers in function.yaml), or raise 'retries'."
            )
        if status >= 500:
            return NuclioError(f"{start} ({_times(attempt)}){said}: look into the function's log.")
        return NuclioError(f"{start}{said}: 'url' must be that of a Nuclio detector of CVAT.")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_secret = parts.username is not None or parts.password is not None
        _ = parts.port
    except ValueError:
        is_usable, has_secret = False, False
    if has_secret:
        raise NuclioError(
            "The 'url' has a user or a password, and parameters are shown and stored: put the "
            f"Authorization header into the environment variable {AUTHORIZATION} instead."
        )
    if not is_usable:
        raise NuclioError(
            f"The 'url' is '{url}', but must look like http://localhost:32768: 'nuctl get "
            "functions' shows the port."
        )


def _wait(attempt: int, asked: str | None) -> float:
    """Return the seconds before the next attempt; `asked` is the header Retry-After."""
    own = FIRST_WAIT * 2.0 ** min(attempt - 1, 10) * random.uniform(0.75, 1.25)
    seconds = float(asked) if asked and re.fullmatch(r"\d{1,6}(\.\d+)?", asked) else 0.0
    return min(max(own, seconds), MAX_WAIT)


def _times(attempt: int) -> str:
    return "1 attempt" if attempt == 1 else f"{attempt} attempts"


def _reason(error: BaseException) -> str:
    """Return the innermost reason: urllib3 wraps it in sentences with addresses of objects."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return re.sub(r"<[^>]*>:? ?", "", str(error)) or type(error).__name__


def _excerpt(content: bytes) -> str:
    return " ".join(content[: 4 * _EXCERPT].decode("utf-8", "replace").split())[:_EXCERPT]
