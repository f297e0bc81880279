"""Call Prefect within the time that CVAT waits for the receiver's answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from cvat_flows.deployments.webhook.announcement import Announcement
from cvat_flows.tasks.model.errors import CvatFlowsError

HTTPX_SETTINGS = {"timeout": 5.0}
"""In seconds. CVAT gives up after 10."""


class PrefectUnavailable(CvatFlowsError):
    """Prefect does not answer, or it rejected an event."""


@contextmanager
def without_retries() -> Iterator[None]:
    """Switch off the Prefect client's retries, which would take longer than CVAT waits.

    Raises PrefectUnavailable for any error inside. The nightly sweep finds the tasks that were
    missed.
    """
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        try:
            yield
        except Exception as error:
            raise PrefectUnavailable(
                f"the Prefect server does not answer ({type(error).__name__}: {error})"
            ) from error


async def send_events(announcements: list[Announcement]) -> None:
    """Post the events and wait until the server has them. Raises PrefectUnavailable."""
    with without_retries():
        async with get_client(httpx_settings=HTTPX_SETTINGS) as client:
            answer = await client.request(
                "POST", "/events", json=[one.to_event() for one in announcements]
            )
            answer.raise_for_status()
