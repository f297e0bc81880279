"""Say in one sentence that the Prefect server cannot be used.

Prefect is imported only if a server is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cvat_flows.flows.run.memory import pause_gc
from cvat_flows.tasks.engine.configured import prefect_is_configured
from cvat_flows.tasks.model.errors import CvatFlowsError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_TIMEOUT = 10.0
"""Seconds to wait for the server's answer before a command starts."""


class PrefectUnavailable(CvatFlowsError):
    """The Prefect server does not answer, or it rejects the request."""


def require_prefect() -> None:
    """Raise PrefectUnavailable if a Prefect server is configured, but does not answer."""
    if not prefect_is_configured():
        return
    with pause_gc():
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True, httpx_settings={"timeout": _TIMEOUT}) as client,
    ):
        check_prefect(client)


def check_prefect(client: SyncPrefectClient) -> None:
    """Raise PrefectUnavailable unless the client's server answers."""
    with prefect_errors():
        client.api_version()


@contextmanager
def prefect_errors() -> Iterator[None]:
    """Turn errors of Prefect's client into PrefectUnavailable. Other errors pass."""
    try:
        yield
    except Exception as error:
        explained = None if isinstance(error, CvatFlowsError) else explain_prefect(error)
        if explained is None:
            raise
        raise explained from error


def explain_prefect(error: BaseException) -> PrefectUnavailable | None:
    """Return what an error of Prefect's client means; None if the server is not the reason."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    server = f"the Prefect server {url}" if url else "Prefect's temporary server"
    for one in _causes(error):
        if isinstance(one, PrefectHTTPStatusError):
            status = one.response.status_code
            if status in (401, 403):
                return PrefectUnavailable(
                    f"{server} rejects the credentials: set PREFECT_API_AUTH_STRING (or "
                    "PREFECT_API_KEY) to the value that it was started with"
                )
            return PrefectUnavailable(f"{server} answered {status}: check the server's log")
        if isinstance(one, httpx.HTTPError | httpx.InvalidURL) or _is_startup_error(one):
            return PrefectUnavailable(
                f"{server} does not answer ({type(one).__name__}): check PREFECT_API_URL and that "
                "the server is running, or unset it to run without a server"
            )
    return None


def _is_startup_error(error: BaseException) -> bool:
    """Return whether Prefect's own error says that it could not reach or start its server."""
    return isinstance(error, RuntimeError) and (
        "Failed to reach API" in str(error) or "ephemeral" in str(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
