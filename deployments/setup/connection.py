"""Connect to the Prefect server in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from cvat_flows.deployments.setup.changes import SetupError


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """Yield a client of the server in PREFECT_API_URL. Raises SetupError if none answers."""
    url = get_current_settings().api.url
    if not url:
        raise SetupError(
            "no Prefect server is configured: start one with `prefect server start` and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    with get_client(sync_client=True) as client:
        try:
            client.api_version()
        except PrefectHTTPStatusError as error:
            if error.response.status_code not in (401, 403):
                raise
            raise SetupError(
                f"the Prefect server {url} rejects the credentials: set PREFECT_API_AUTH_STRING "
                "(or PREFECT_API_KEY) to the value that it was started with"
            ) from error
        except Exception as error:
            raise SetupError(
                f"the Prefect server {url} does not answer ({type(error).__name__}): check "
                "PREFECT_API_URL, and that the server is running"
            ) from error
        yield client
