"""`python -m tests.chaos`: upload with random faults, kills and people at work.

Each seed is two schedules. One is compared with the same uploads without faults. In the other a
person works between a create and its answer, and an oracle says what must be there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.chaos.people import run_with_people
from tests.chaos.schedule import Result, run_schedule
from tests.chaos.uploader import Uploader
from tests.chaos.world import make_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--schedules", type=int, default=500, help="how many seeds to run")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first; the next adds 1")
    parser.add_argument("--seconds", type=float, help="stop after this long, if it comes first")
    parser.add_argument("--quiet", action="store_true", help="no line for each schedule")
    options = parser.parse_args()
    results: list[Result] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cvat-flows-chaos-") as name:
        folder = Path(name)
        # It forks, so it starts before this process has threads.
        uploader = Uploader(folder / "worker")
        with SandboxProcess(folder / "first") as first, SandboxProcess(folder / "new") as second:
            server = make_server(first.url, folder / "images")
            new = make_server(second.url, folder / "other-images")
            for seed in range(options.seed, options.seed + options.schedules):
                if options.seconds and time.monotonic() - started > options.seconds:
                    break
                for run in (run_schedule, partial(run_with_people, new=new)):
                    place = folder / f"schedule-{seed}"
                    result = run(seed, server=server, uploader=uploader, folder=place)
                    results.append(result)
                    if result.problems or not options.quiet:
                        _show(result)
        uploader.close()
    return _summary(results, time.monotonic() - started)


def _show(result: Result) -> None:
    steps = ", ".join(s.existing if s.kind == "run" else s.kind for s in result.steps)
    acts = ", ".join(f"{count} times {act}" for act, count in result.acts.items())
    steps = steps or f"a person: {acts or 'nothing'}"
    state = "FAILED" if result.problems else "ok"
    print(
        f"seed {result.seed}: {state} ({steps}; {result.faults.total()} faults, {result.kills} "
        f"kills, {result.attempts} attempts, {result.seconds:.1f} s)",
        flush=True,
    )
    for problem in result.problems:
        print(f"  {problem}")
    if result.problems:
        print(f"  repeat it: python -m tests.chaos --schedules 1 --seed {result.seed}", flush=True)


def _summary(results: list[Result], seconds: float) -> int:
    faults: Counter[str] = sum((result.faults for result in results), Counter())
    acts: Counter[str] = sum((result.acts for result in results), Counter())
    changes = Counter(result.change for result in results if result.change)
    failed = [result.seed for result in results if result.problems]
    print(", ".join(f"{name}: {count}" for name, count in sorted(faults.items())))
    print("people: " + ", ".join(f"{name}: {count}" for name, count in sorted(acts.items())))
    print("second runs after: " + ", ".join(f"{name}: {n}" for name, n in sorted(changes.items())))
    print(f"attempts with a wrong clock: {sum(r.steps_of_clock for r in results)}")
    print(
        f"{len(results)} schedules in {seconds:.0f} s: {faults.total()} faults, "
        f"{sum(r.kills for r in results)} kills, {sum(r.attempts for r in results)} attempts, "
        f"{sum(r.duplicates for r in results)} duplicates, {sum(r.losses for r in results)} losses"
    )
    if failed:
        print(f"{len(failed)} schedules failed, seeds: {failed}")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
