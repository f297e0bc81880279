"""One worker, as a process of its own: SIGTERM lets its runs finish, a second one ends them.

`cvat-flows worker` starts these processes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from cvat_flows.deployments.worker.drain import Drain


def main() -> int:
    """Run a worker. Return 0 if it has finished its runs, else 1."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--work-queue", action="append", default=[])
    parser.add_argument("--health-port", type=int)
    arguments = parser.parse_args()
    if arguments.health_port is not None:
        os.environ["PREFECT_WORKER_WEBSERVER_PORT"] = str(arguments.health_port)
    # Prefect reads its settings on import.
    from prefect.workers.process import ProcessWorker

    async def run() -> bool:
        worker = ProcessWorker(
            work_pool_name=arguments.pool,
            work_queues=arguments.work_queue or None,
            name=arguments.name,
            limit=arguments.limit,
            create_pool_if_not_found=False,
        )
        drain = Drain(worker, lambda text: print(f"{arguments.name}: {text}", flush=True))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, drain.request)
        return await drain.run(with_healthcheck=arguments.health_port is not None)

    return 0 if asyncio.run(run()) else 1


if __name__ == "__main__":
    sys.exit(main())
