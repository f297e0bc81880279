"""Read prefect.yaml: the deployments as they are wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from attrs import evolve, frozen
from prefect.events import DeploymentTriggerTypes
from prefect.events.schemas.automations import AutomationCore
from prefect.flows import Flow, load_flow_from_entrypoint
from pydantic import TypeAdapter

from cvat_flows.deployments.setup.changes import SetupError

FILE = Path(__file__).parents[1] / "prefect.yaml"
DEFAULT_QUEUE = "default"
GPU_QUEUE = "gpu"

_Trigger: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)


@frozen(kw_only=True)
class WantedDeployment:
    """One deployment of the file."""

    entry: dict[str, Any]
    """The deployment as prefect.yaml states it."""
    flow: Flow[..., Any]
    kept: tuple[str, ...] = ()
    """Differences from the file that the server keeps."""

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def full_name(self) -> str:
        return f"{self.flow.name}/{self.name}"

    @property
    def pool(self) -> str:
        return str(self.entry["work_pool"]["name"])

    @property
    def queue(self) -> str:
        return str(self.entry["work_pool"].get("work_queue_name") or DEFAULT_QUEUE)

    @property
    def uses_gpu(self) -> bool:
        """Whether its runs detect, and so belong on a machine with a GPU."""
        return self.queue == GPU_QUEUE

    def move_to(self, pool: str, queue: str) -> WantedDeployment:
        """Return the deployment with another work pool and queue."""
        work_pool = {**self.entry["work_pool"], "name": pool, "work_queue_name": queue}
        return evolve(self, entry={**self.entry, "work_pool": work_pool})

    def trigger_automations(self, deployment_id: Any) -> list[AutomationCore]:
        """Return the automations that `prefect deploy` makes of the triggers."""
        automations = []
        for spec in self.entry.get("triggers", []):
            trigger = _Trigger.validate_python(spec)
            trigger.set_deployment_id(deployment_id)
            automations.append(trigger.as_automation())
        return automations


def read_deployments(path: Path = FILE) -> list[WantedDeployment]:
    """Read a prefect.yaml and load its flows. Raises SetupError."""
    try:
        entries = yaml.safe_load(path.read_text())["deployments"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise SetupError(f"{path} cannot be read as a prefect.yaml: {error}") from error
    deployments = []
    for entry in entries:
        try:
            flow: Flow[..., Any] = load_flow_from_entrypoint(entry["entrypoint"])
            deployments.append(WantedDeployment(entry=entry, flow=flow))
        except Exception as error:
            name = entry.get("name") if isinstance(entry, dict) else entry
            raise SetupError(
                f"the deployment {name!r} of {path} cannot be used: {type(error).__name__}: {error}"
            ) from error
    return deployments
