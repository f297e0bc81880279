"""Connect to the Prefect server in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from cvat_flows.deployments.setup.changes import SetupError
from cvat_flows.flows.prefect_server import check_prefect


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """Yield a client of the server in PREFECT_API_URL.

    Raises SetupError if none is configured, and PrefectUnavailable if it does not answer.
    """
    url = get_current_settings().api.url
    if not url:
        raise SetupError(
            "no Prefect server is configured: start one with `cvat-flows ui` and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    with get_client(sync_client=True) as client:
        check_prefect(client)
        yield client
