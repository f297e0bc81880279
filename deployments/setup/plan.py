"""Plan all changes that `cvat-flows setup` makes."""

from __future__ import annotations

import argparse
import os

from prefect.client.orchestration import SyncPrefectClient

from cvat_flows.deployments.setup.automations import plan_automations
from cvat_flows.deployments.setup.changes import Change
from cvat_flows.deployments.setup.deployments import plan_deployments, wanted_deployments
from cvat_flows.deployments.setup.gpu_limits import GPUS_VARIABLE, parse_gpus, plan_gpu_limits
from cvat_flows.deployments.setup.nightly import Choices, note_missing_rules
from cvat_flows.deployments.setup.server_block import plan_block
from cvat_flows.deployments.setup.webhook import plan_webhooks, wants_webhooks
from cvat_flows.deployments.setup.work_pools import plan_pools
from cvat_flows.tasks.cvat.client.settings import settings_without_block


def make_plan(client: SyncPrefectClient, arguments: argparse.Namespace) -> list[Change]:
    """Return the changes in the order in which they must be made. Raises SetupError."""
    gpus = parse_gpus(arguments.gpus or [os.environ.get(GPUS_VARIABLE, "")])
    deployments = wanted_deployments(
        client, arguments.file, gpu_pool=arguments.gpu_pool, choices=Choices.of(arguments)
    )
    changes = plan_pools(client, [wanted for wanted, _ in deployments], gpus)
    changes += plan_gpu_limits(client, gpus)
    changes += plan_block(
        client,
        settings_without_block(),
        name=arguments.server_block,
        replace=arguments.replace_block,
    )
    changes += plan_deployments(client, deployments)
    changes += note_missing_rules([wanted for wanted, _ in deployments])
    changes += plan_automations(client, notify=arguments.notify)
    if wants_webhooks(arguments):
        changes += plan_webhooks(arguments)
    return changes
