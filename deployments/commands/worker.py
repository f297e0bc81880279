"""`cvat-flows worker`: start a Prefect worker for each GPU of this machine. Ctrl-C lets the running
flow runs finish; a second one ends them.
"""

from __future__ import annotations

import argparse
import os
import socket
from functools import partial

from cvat_flows.flows.commands.base.command import Command
from cvat_flows.flows.commands.base.exit_status import DONE, INTERRUPTED
from cvat_flows.flows.commands.base.usage_error import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gpus",
        default="all",
        metavar="GPUS",
        help="all, numbers with commas (0,1), or none for one worker without a GPU. If "
        "CUDA_VISIBLE_DEVICES is set, only its GPUs are there, and the numbers count within it "
        "(default: all)",
    )
    parser.add_argument(
        "--pool", default="cvat", metavar="POOL", help="work pool of the runs (default: cvat)"
    )
    parser.add_argument(
        "--work-queue",
        action="append",
        default=[],
        metavar="QUEUE",
        help="take runs from this work queue only; can be repeated (default: all of the pool)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=2,
        metavar="RUNS",
        help="most flow runs of each worker at a time: while one detects, the next can fetch "
        "(default: 2)",
    )
    parser.add_argument(
        "--health-port",
        type=int,
        metavar="PORT",
        help="answer at /health on this port whether the first worker still asks for runs; the "
        "second worker answers on the next port, and so on (default: none answers)",
    )


def run(arguments: argparse.Namespace) -> int:
    from cvat_flows.deployments.setup.connection import prefect_client
    from cvat_flows.deployments.worker.gpus import choose_gpus, visible_gpus
    from cvat_flows.deployments.worker.plan import WorkerOptions, WorkerPlan, plan_workers
    from cvat_flows.deployments.worker.prefect_side import check_pool, missing_limits
    from cvat_flows.deployments.worker.supervisor import Supervisor, stopped_by_signals

    if arguments.limit < 1:
        raise UsageError(f"--limit {arguments.limit}: give a number of at least 1")
    if arguments.health_port is not None and not 0 < arguments.health_port < 2**16:
        raise UsageError(f"--health-port {arguments.health_port}: give a port from 1 to 65535")
    gpus = choose_gpus(arguments.gpus, visible_gpus(os.environ))
    plans = plan_workers(gpus, host=socket.gethostname(), environment=os.environ)
    with prefect_client() as client:
        check_pool(client, arguments.pool)
        missing = missing_limits(client, plans)
    say = partial(print, flush=True)
    for plan in plans:
        say(f"{plan.name}: pool {arguments.pool}" + (f", tag {plan.tag}" if plan.tag else ""))
    if missing:
        say(
            "The tags have no limit, so several runs can use a GPU at once. To set limits: "
            f"cvat-flows setup --gpus {' '.join(missing)}"
        )
    options = WorkerOptions(
        pool=arguments.pool,
        queues=arguments.work_queue,
        limit=arguments.limit,
        health_port=arguments.health_port,
    )
    supervisor = Supervisor(
        plans=plans,
        command=partial(WorkerPlan.command, options=options),
        environment=os.environ,
        say=say,
    )
    with stopped_by_signals(supervisor):
        return DONE if supervisor.run() else INTERRUPTED


COMMAND = Command(
    name="worker",
    configure=configure,
    run=run,
)
