"""Start the workers of a machine, start one again that dies, and stop all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from attrs import define, field

from cvat_flows.deployments.worker.plan import WorkerPlan

RESTART_DELAY = 10.0
"""Seconds after which a worker that has died is started again."""
KILL_DELAY = 20.0
"""Seconds that workers have to end their runs after a second request to stop."""
_PAUSE = 0.2


@define(eq=False)
class _Running:
    plan: WorkerPlan
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    """By `time.monotonic()`."""


@define(eq=False, kw_only=True)
class Supervisor:
    """The workers of a machine.

    Each is in a session of its own: Ctrl-C in the terminal reaches this process only.
    """

    plans: Sequence[WorkerPlan]
    command: Callable[[WorkerPlan], Sequence[str]]
    """Returns the command that runs a worker. SIGTERM lets it finish its runs, a second SIGTERM
    ends them."""
    environment: Mapping[str, str]
    say: Callable[[str], None] = print
    restart_delay: float = RESTART_DELAY
    kill_delay: float = KILL_DELAY
    _requests: int = field(default=0, init=False)
    _told: int = field(default=0, init=False)
    _asked: threading.Event = field(factory=threading.Event, init=False)

    def stop(self) -> None:
        """Ask the workers to stop after their runs. A second call ends the runs, too.

        A signal handler can call it.
        """
        self._requests += 1
        self._asked.set()

    def run(self) -> bool:
        """Run the workers until they have stopped. Return whether they could finish their runs."""
        workers = [_Running(plan) for plan in self.plans]
        kill_at = float("inf")
        try:
            while not self._requests or any(_is_alive(worker) for worker in workers):
                if not self._requests:
                    self._start_missing(workers)
                if self._told < self._requests:
                    self._told = self._requests
                    kill_at = self._tell(workers)
                if time.monotonic() > kill_at:
                    _signal_groups(workers, signal.SIGKILL)
                self._asked.wait(_PAUSE)
                self._asked.clear()
        finally:
            # Workers would go on without this process, and nobody would know of them.
            _signal_groups([one for one in workers if _is_alive(one)], signal.SIGKILL)
        return self._requests < 2

    def _start_missing(self, workers: Sequence[_Running]) -> None:
        for worker in workers:
            if _is_alive(worker):
                continue
            if worker.process is not None:
                self.say(
                    f"{worker.plan.name} has ended with status {worker.process.returncode}; it is "
                    f"started again in {self.restart_delay:g} s"
                )
                worker.process = None
                worker.start_at = time.monotonic() + self.restart_delay
            if time.monotonic() >= worker.start_at:
                worker.process = subprocess.Popen(
                    self.command(worker.plan),
                    env={**self.environment, **worker.plan.environment},
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def _tell(self, workers: Sequence[_Running]) -> float:
        """Pass the request to the workers. Return when to kill them."""
        for worker in workers:
            if worker.process is not None and _is_alive(worker):
                worker.process.send_signal(signal.SIGTERM)
        if self._told == 1:
            self.say("stopping when the running flow runs have ended; Ctrl-C again ends them now")
            return float("inf")
        self.say("ending the flow runs")
        return time.monotonic() + self.kill_delay


@contextmanager
def stopped_by_signals(supervisor: Supervisor) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop the workers during the block."""

    def handle(*_: Any) -> None:
        supervisor.stop()

    before = {one: signal.signal(one, handle) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_alive(worker: _Running) -> bool:
    return worker.process is not None and worker.process.poll() is None


def _signal_groups(workers: Sequence[_Running], number: signal.Signals) -> None:
    for worker in workers:
        if worker.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.process.pid, number)
            worker.process.wait()
