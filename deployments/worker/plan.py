"""What each worker of a machine is called, and its environment."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from cvat_flows.deployments.worker.gpus import VISIBLE
from cvat_flows.tasks.steps import GPU

TAG_VARIABLE = "CVAT_FLOWS_GPU_TAG"
_PROCESS = "cvat_flows.deployments.worker.process"


@frozen(kw_only=True)
class WorkerOptions:
    """What all workers of a machine have in common."""

    pool: str
    queues: Sequence[str] = ()
    """Names of work queues; empty: all of the pool."""
    limit: int = 2
    """Most flow runs of a worker at a time."""
    health_port: int | None = None
    """Port on which the first worker says whether it polls, the second one on the next, and so
    on. None: they do not."""


@frozen(kw_only=True)
class WorkerPlan:
    """A worker that is to be started."""

    name: str
    number: int
    """Position among the workers of the machine."""
    tag: str | None
    """Tag of its detect runs; None: as in the environment."""
    environment: Mapping[str, str] = field(factory=dict)
    """What is added to the environment."""

    def command(self, options: WorkerOptions) -> list[str]:
        """Return the command that runs the worker."""
        queues = [word for queue in options.queues for word in ("--work-queue", queue)]
        port = options.health_port
        health = [] if port is None else ["--health-port", str(port + self.number)]
        return [
            *(sys.executable, "-m", _PROCESS, "--pool", options.pool, "--name", self.name),
            *("--limit", str(options.limit)),
            *queues,
            *health,
        ]


def plan_workers(
    gpus: Sequence[str], *, host: str, environment: Mapping[str, str]
) -> list[WorkerPlan]:
    """Plan a worker for each GPU, or one without.

    Each worker of a GPU sees this GPU only, and its detect runs have a tag of their own, so that
    they wait for this GPU only. The tag is that of the machine (CVAT_FLOWS_GPU_TAG, else
    `gpu:HOST`) with the GPU's name.

    >>> [(one.name, one.tag) for one in plan_workers(["2", "5"], host="north", environment={})]
    [('north-gpu-2', 'gpu:north-2'), ('north-gpu-5', 'gpu:north-5')]
    """
    if not gpus:
        return [WorkerPlan(name=f"{host}-cpu", number=0, tag=None, environment={VISIBLE: ""})]
    machine = environment.get(TAG_VARIABLE) or GPU
    if machine == GPU:
        machine = f"{GPU}:{host}"
    plans = []
    for number, gpu in enumerate(gpus):
        label = re.sub(r"[^A-Za-z0-9.-]+", "-", gpu)
        tag = f"{machine}-{label}"
        plans.append(
            WorkerPlan(
                name=f"{host}-gpu-{label}",
                number=number,
                tag=tag,
                environment={VISIBLE: gpu, TAG_VARIABLE: tag},
            )
        )
    return plans
