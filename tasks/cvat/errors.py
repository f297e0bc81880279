"""CVAT's refusals as sentences: which object, why, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from cvat_sdk.api_client import exceptions

from cvat_flows.tasks.model.errors import CvatFlowsError

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that speak of the moment, not of the request: it is worth sending again."""


class CvatRefused(CvatFlowsError):
    """CVAT refused a request in a way that trying again will not change."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class CvatUnavailable(CvatFlowsError):
    """CVAT does not answer, or answers that it cannot now: trying again may help."""


@contextmanager
def cvat_errors(what: str) -> Iterator[None]:
    """Turn errors of the SDK and the network into sentences about `what` ("task 5")."""
    try:
        yield
    except exceptions.ApiException as error:
        status = int(error.status or 0)
        if status == 401:
            message = f"{what}: CVAT no longer accepts the credentials; log in again"
        elif status == 403:
            message = (
                f"{what}: the CVAT user of this run has no permission for it; assign the task to "
                "that user, or use an account that may"
            )
        elif status == 404:
            message = (
                f"{what} does not exist on the CVAT server; check the number, and the "
                "organization if it belongs to one"
            )
        elif status in PASSING or status >= 500:
            raise CvatUnavailable(
                f"{what}: CVAT answered {status} {error.reason or ''}".rstrip()
            ) from error
        else:
            message = f"{what}: CVAT answered {status}: {_body(error)}"
        raise CvatRefused(message, status=status) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CvatUnavailable(f"{what}: no answer from CVAT ({type(error).__name__})") from error


def _body(error: exceptions.ApiException) -> str:
    body = error.body or b""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    return text.strip()[:300] or str(error.reason)
