"""All that has to be changed to make a Prefect server, and CVAT's webhooks, ready."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from cvat_flows.deployments.setup.changes import Change, SetupError
from cvat_flows.deployments.setup.deployment_file import WantedDeployment
from cvat_flows.deployments.setup.deployments import (
    plan_automations,
    plan_deployments,
    wanted_deployments,
)
from cvat_flows.deployments.setup.server import (
    GPUS_VARIABLE,
    RUNS_PER_GPU,
    parse_gpus,
    plan_block,
    plan_gpu_limits,
    plan_pools,
)
from cvat_flows.deployments.setup.webhook import plan_webhooks
from cvat_flows.tasks.cvat.server_block import settings_without_block


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """A client of the server in use. Raises SetupError if there is none."""
    url = get_current_settings().api.url
    if not url:
        raise SetupError(
            "no Prefect server is named: start one with `prefect server start` and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    with get_client(sync_client=True) as client:
        try:
            client.api_version()
        except PrefectHTTPStatusError as error:
            if error.response.status_code not in (401, 403):
                raise
            raise SetupError(
                f"the Prefect server {url} wants other credentials: set PREFECT_API_AUTH_STRING "
                "(or PREFECT_API_KEY) to what it was started with"
            ) from error
        except Exception as error:
            raise SetupError(
                f"the Prefect server {url} does not answer ({type(error).__name__}): check "
                "PREFECT_API_URL and that the server is up"
            ) from error
        yield client


def make_plan(client: SyncPrefectClient, arguments: argparse.Namespace) -> list[Change]:
    """The changes, in the order in which they can be made. Raises SetupError."""
    gpus = parse_gpus(arguments.gpus or [os.environ.get(GPUS_VARIABLE, "")])
    pairs = wanted_deployments(client, arguments.file, gpu_pool=arguments.gpu_pool)
    wanted = [one for one, _ in pairs]
    changes = plan_pools(
        client, _queues(wanted), limits=_queue_limits(wanted, gpus), change_limits=bool(gpus)
    )
    changes += plan_gpu_limits(client, gpus)
    changes += plan_block(
        client,
        settings_without_block(),
        name=arguments.server_block,
        replace=arguments.replace_block,
    )
    changes += plan_deployments(client, pairs)
    changes += plan_automations(client, notify=arguments.notify)
    if arguments.webhook:
        changes += plan_webhooks(arguments)
    return changes


def _queues(wanted: list[WantedDeployment]) -> dict[str, set[str]]:
    queues: dict[str, set[str]] = {}
    for one in wanted:
        queues.setdefault(one.pool, set()).add(one.queue)
    return queues


def _queue_limits(wanted: list[WantedDeployment], gpus: dict[str, int]) -> dict[str, int]:
    """How many annotating runs may be there at once: each loads a model."""
    places = {f"{one.pool}/{one.queue}" for one in wanted if one.flow.name == "annotate-task"}
    return dict.fromkeys(places, RUNS_PER_GPU * (sum(gpus.values()) or 1))
