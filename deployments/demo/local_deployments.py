"""Set up the deployments of the demo, with a worker, so that its form starts runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvat_flows.deployments.local_server import ending

RULES = "rules:\n- {task_name: 'shapes*', function: shapes}\n"
POOL = "cvat"


@contextmanager
def local_deployments(folder: Path, *, host: str, account: tuple[str, str]) -> Iterator[None]:
    """Create the deployments on the Prefect server of this process, and run a worker for them.

    Args:
        folder: For the rules and the logs.
        host: Address of the CVAT server.
        account: User name and password.
    """
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    user, password = account
    environment = {**os.environ, "CVAT_HOST": host, "CVAT_USER": user, "CVAT_PASSWORD": password}
    # Prefect's command line shows its own log again.
    environment.pop("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", None)
    setup = [sys.executable, "-m", "cvat_flows.flows.cli", "setup", "--yes", "--rules", str(rules)]
    with (folder / "setup.log").open("wb") as log:
        done = subprocess.run(setup, env=environment, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise RuntimeError(f"the deployments could not be created, see {log.name}")
    _use_shapes()
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(worker, env=environment, stdout=log, stderr=log)
    with ending(process):
        yield


def _use_shapes() -> None:
    """Fill in the function of the form: its weights are there."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentUpdate

    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("annotate-task/annotate-task")
        parameters = {**deployment.parameters, "function": "shapes"}
        client.update_deployment(deployment.id, DeploymentUpdate(parameters=parameters))
