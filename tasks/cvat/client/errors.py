"""Errors of requests to CVAT. Each names the object, the reason and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from cvat_sdk.api_client import exceptions

from cvat_flows.tasks.cvat.client.explain import explain_refusal
from cvat_flows.tasks.model.errors import CvatFlowsError

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed later."""


class CvatRefused(CvatFlowsError):
    """CVAT refused a request; the same request will be refused again."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class CvatUnavailable(CvatFlowsError):
    """CVAT did not answer or reported a temporary problem; the same request may succeed later."""


@contextmanager
def cvat_errors(subject: str) -> Iterator[None]:
    """Turn errors of the SDK and the network into CvatRefused and CvatUnavailable.

    `subject` names the requested object in their messages, for example "task 5".
    """
    try:
        yield
    except exceptions.ApiException as error:
        status = int(error.status or 0)
        if status in TRANSIENT_STATUSES or status >= 500:
            raise CvatUnavailable(
                f"{subject}: CVAT answered {status} {error.reason or ''}".rstrip()
            ) from error
        if status == 404:
            message = (
                f"{subject} does not exist on the CVAT server; check the number, and the "
                "organization if it belongs to one"
            )
        else:
            message = f"{subject}: {explain_refusal(status, body_of(error))}"
        raise CvatRefused(message, status=status) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CvatUnavailable(f"{subject}: no answer from CVAT ({type(error).__name__})") from error


def body_of(error: exceptions.ApiException) -> bytes:
    """Return the body of a refused request; its reason if there is none."""
    body = error.body or str(error.reason or "")
    return body if isinstance(body, bytes) else str(body).encode()
