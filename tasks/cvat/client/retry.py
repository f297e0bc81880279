"""Timeouts, waits and the number of attempts for all requests to CVAT."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from attrs import evolve, frozen

from cvat_flows.tasks.model.errors import CvatFlowsError

Wait = Callable[[float], None]
"""Waits some seconds. It may raise an exception to abort the request."""

MAX_CONSECUTIVE_500S = 4
"""After this many 500s in a row, more attempts do not help: CVAT cannot read the image, or the
annotations of the job are damaged. 502, 503 and 504 mean that CVAT is busy."""


@frozen(kw_only=True)
class RetryPolicy:
    """Timeouts, waits and limits of a request that may be repeated. Times are in seconds."""

    connect_timeout: float = 10.0
    read_timeout: float = 120.0
    """Seconds without a byte: CVAT may need long before the first byte of a chunk. The SDK waits
    forever."""
    transfer_timeout: float = 900.0
    """Seconds from the beginning of a request to the end of its answer. A large chunk needs minutes
    on a slow line."""
    first_wait: float = 0.5
    """Wait before the first retry. It doubles with each retry, with jitter so that threads spread
    out."""
    max_wait: float = 60.0
    """Longest wait between two attempts, unless `Retry-After` asks for more."""
    max_attempts: int = 6
    """Maximum requests for one GET (`http.get`)."""
    give_up_after: float = 600.0
    """Maximum seconds since the last good answer, including the next wait, when working on the
    annotations of a job (`JobAnnotations`)."""
    wait_after_timeout: float = 5.0
    """Minimum wait before reading back after a write that timed out: CVAT may still process it."""
    request_lifetime: float = 60.0
    """Seconds after the end of an unanswered write within which CVAT may still carry it out. Its
    workers go on when a gateway has given up or the connection is lost, 12 s were seen; 60 s is
    what nginx and most gateways wait for a worker."""

    def wait(self, attempt: int, requested: float | None) -> float:
        """Return the wait after an attempt (counted from 1), at least the `requested` seconds."""
        growing = self.first_wait * 2.0 ** min(attempt - 1, 20)
        own = min(self.max_wait, growing) * random.uniform(0.75, 1.25)
        return max(own, requested or 0.0)


DEFAULT_POLICY = RetryPolicy()
REQUEST_LIFETIME = "CVAT_FLOWS_REQUEST_LIFETIME"
"""Environment variable for `RetryPolicy.request_lifetime` of writes."""


class BadRequestLifetime(CvatFlowsError):
    """The environment variable CVAT_FLOWS_REQUEST_LIFETIME is not a number of seconds."""


def write_policy() -> RetryPolicy:
    """Return the policy of writing annotations. Raises BadRequestLifetime.

    A large create takes CVAT seconds, and tens of seconds if jobs overlap.
    """
    policy = RetryPolicy(read_timeout=180.0)
    text = os.environ.get(REQUEST_LIFETIME, "").strip()
    if not text:
        return policy
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < math.inf:
        raise BadRequestLifetime(
            f"the environment variable {REQUEST_LIFETIME} is {text!r}: set it to the seconds for "
            "which your gateways let CVAT work on a request, for example 60"
        )
    return evolve(policy, request_lifetime=seconds)


def retry_after(headers: Mapping[str, str] | None) -> float | None:
    """Return the seconds that `Retry-After` asks to wait: CVAT sends numbers, gateways send dates.

    Returns None if the header is missing or invalid, or asks for no wait (zero, a past date).
    """
    value = (headers or {}).get("Retry-After") or ""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


class Interrupted(Exception):
    """A wait was aborted because the result is no longer needed."""


def interruptible(stop: threading.Event) -> Wait:
    """Return a function for `http.get(wait=...)` that raises Interrupted once `stop` is set."""

    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise Interrupted

    return wait
