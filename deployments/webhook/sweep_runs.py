"""Create runs of the sweep's deployment in Prefect.

Prefect is imported when the receiver listens already: the import takes two seconds. Its client
knows the profiles, the credentials and the TLS settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from cvat_flows.flows.prefect_server import PrefectUnavailable
from cvat_flows.tasks.model.text import on_one_line

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

DEFAULT_DEPLOYMENT = "annotate-new-tasks/annotate-new-tasks"
RUN_TAG = "webhook"
"""Tag of the runs in Prefect's UI."""
REQUEST_TIMEOUT = 5.0
"""In seconds."""


class SweepRuns(Protocol):
    """Where sweeps are started."""

    async def check(self) -> None:
        """Check that sweeps can be started. Raises PrefectUnavailable."""

    async def start(self, task_ids: Sequence[int], key: str) -> str:
        """Start a sweep of these CVAT tasks and return its run's name. Raises PrefectUnavailable.

        A second call with the same key starts no second sweep.
        """


class PrefectSweepRuns:
    """Starts runs of a deployment of `annotate-new-tasks`."""

    def __init__(self, deployment: str = DEFAULT_DEPLOYMENT) -> None:
        self._deployment = deployment

    async def check(self) -> None:
        """Check that the server answers and has the deployment. Raises PrefectUnavailable."""
        async with self._client() as client:
            await client.read_deployment_by_name(self._deployment)

    async def start(self, task_ids: Sequence[int], key: str) -> str:
        """Create a run with the deployment's parameters, for these tasks and without a limit.

        Raises PrefectUnavailable.
        """
        async with self._client() as client:
            deployment = await client.read_deployment_by_name(self._deployment)
            run = await client.create_flow_run_from_deployment(
                deployment.id,
                parameters={"task_ids": list(task_ids), "limit": None},
                idempotency_key=key,
                tags=[RUN_TAG],
            )
            return run.name

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[PrefectClient]:
        """Yield a client that does not repeat requests. Raises PrefectUnavailable for any error."""
        await asyncio.to_thread(import_module, "prefect.client.orchestration")
        from prefect.client.orchestration import get_client
        from prefect.settings import (
            PREFECT_CLIENT_MAX_RETRIES,
            get_current_settings,
            temporary_settings,
        )

        if not get_current_settings().api.url:
            raise PrefectUnavailable(
                "no Prefect server is configured: set PREFECT_API_URL, or choose a profile with "
                "`prefect profile use`, then restart the receiver"
            )
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            try:
                async with get_client(httpx_settings={"timeout": REQUEST_TIMEOUT}) as client:
                    yield client
            except Exception as error:
                raise PrefectUnavailable(self._explain(error)) from error

    def _explain(self, error: Exception) -> str:
        from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

        if isinstance(error, ObjectNotFound):
            return (
                f"Prefect has no deployment {self._deployment!r}: create it with `cvat-flows "
                "setup`, or name another one with --deployment"
            )
        if isinstance(error, PrefectHTTPStatusError):
            if error.response.status_code in (401, 403):
                return (
                    "the Prefect server rejects the receiver's credentials: set "
                    "PREFECT_API_AUTH_STRING (or PREFECT_API_KEY) to the server's value"
                )
            if error.response.is_client_error:
                return on_one_line(f"Prefect refused the sweep: {error}", 300)
        return on_one_line(f"the Prefect server does not answer ({type(error).__name__})", 300)
