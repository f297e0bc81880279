"""Check that the shipped automations exist and are switched on."""

from __future__ import annotations

from collections.abc import Iterator

from prefect.client.orchestration import SyncPrefectClient

from cvat_flows.deployments.doctor.verdict import Verdict, ok, warning
from cvat_flows.deployments.setup.automations import NAME_PREFIX, needs_block, read_automations


def check_automations(client: SyncPrefectClient) -> Iterator[Verdict]:
    """Check the automations of automations.yaml and the deployments' triggers."""
    existing = [a for a in client.read_automations() if a.name.startswith(NAME_PREFIX)]
    names = {automation.name for automation in existing}
    for spec in read_automations():
        if spec["name"] not in names:
            option = " --notify TYPE/NAME" if needs_block(spec) else ""
            yield warning(
                "automation", f"{spec['name']!r} is missing", f"run `cvat-flows setup{option}`"
            )
    for automation in existing:
        if automation.enabled:
            yield ok("automation", automation.name.removeprefix(NAME_PREFIX))
        else:
            yield warning(
                "automation", f"{automation.name!r} is switched off", "switch it on in the UI"
            )
