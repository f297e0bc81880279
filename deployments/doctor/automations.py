"""Check that the shipped automations exist and are switched on."""

from __future__ import annotations

from collections.abc import Iterator

from prefect.client.orchestration import SyncPrefectClient

from cvat_flows.deployments.doctor.verdict import Verdict, ok, warning
from cvat_flows.deployments.setup.automations import needs_block, read_automations


def check_automations(client: SyncPrefectClient) -> Iterator[Verdict]:
    """Check the automations of automations.yaml."""
    enabled = {automation.name: automation.enabled for automation in client.read_automations()}
    for spec in read_automations():
        name = spec["name"]
        if name not in enabled:
            option = " --notify TYPE/NAME" if needs_block(spec) else ""
            yield warning("automation", f"{name!r} is missing", f"run `cvat-flows setup{option}`")
        elif enabled[name]:
            yield ok("automation", name.removeprefix("cvat-flows · "))
        else:
            yield warning("automation", f"{name!r} is switched off", "switch it on in the UI")
