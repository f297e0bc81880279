"""Measure the cost of a task run and a flow run on the Prefect server of PREFECT_API_URL.

`python -m bench.prefect_cost [--runs 100]`. The tasks do nothing, so all the time is Prefect's. The
benchmark creates a concurrency limit and deletes it again. docs/scaling.md uses the results.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cvat_flows.flows.cli import set_prefect_defaults

LIMITED, FREE = "cvat-flows-bench-limited", "cvat-flows-bench-free"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.prefect_cost", description=__doc__)
    parser.add_argument("--runs", type=int, default=60, help="number of task runs of each kind")
    runs = parser.parse_args().runs
    set_prefect_defaults()
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")

    from prefect import flow, task
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.task_runners import ThreadPoolTaskRunner

    @task(persist_result=False)
    def plain() -> None:
        return

    tagged, limited = plain.with_options(tags=[FREE]), plain.with_options(tags=[LIMITED])

    def timed(number: int, threads: int, kind: Callable[[], object]) -> float:
        """Return the seconds of `number` task runs from several threads in one flow run."""

        @flow(task_runner=ThreadPoolTaskRunner(max_workers=threads), persist_result=False)
        def flow_of_runs() -> float:
            started = time.monotonic()
            for future in [kind.submit() for _ in range(number)]:  # type: ignore[attr-defined]
                future.wait()
            return time.monotonic() - started

        return flow_of_runs()

    @flow(persist_result=False)
    def nothing() -> None:
        return

    name = f"tag:{LIMITED}"
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        try:
            timed(5, 1, plain)
            few = max(4, runs // 6)
            rows = [
                ("a task run", timed(runs, 1, plain) / runs),
                ("a task run, 8 threads", timed(runs, 8, plain) / runs),
                ("a tagged run, no limit on the tag", timed(runs, 1, tagged) / runs),
                ("a tagged run, limit 1, one thread", timed(few, 1, limited) / few),
                ("a tagged run, limit 1, 4 threads", timed(few, 4, limited) / few),
            ]
            started = time.monotonic()
            for _ in range(10):
                nothing()
            rows.append(("a flow run in this process", (time.monotonic() - started) / 10))
            started = time.monotonic()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: client.read_work_pools(), range(100)))
            rows.append(("a small request, 8 threads", (time.monotonic() - started) / 100))
        finally:
            client.delete_global_concurrency_limit_by_name(name)
    for what, seconds in rows:
        print(f"{what:36} {seconds * 1000:8.1f} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
