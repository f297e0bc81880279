"""Starting workers, starting one again that dies, and stopping them, with small processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cvat_flows.deployments.worker.plan import WorkerPlan, plan_workers
from cvat_flows.deployments.worker.supervisor import Supervisor, stopped_by_signals
from tests.support.waiting import HANG_TIMEOUT, wait_until

FAKE = """
import os, signal, sys, time
folder, name = sys.argv[1:]
asked = 0

def ask(*_):
    global asked
    asked += 1
    open(f"{folder}/{name}.asked-{asked}", "w").close()

signal.signal(signal.SIGTERM, ask)
with open(f"{folder}/{name}.started", "a") as file:
    print(os.environ["CUDA_VISIBLE_DEVICES"], os.environ.get("CVAT_FLOWS_GPU_TAG"), file=file)
while asked < 2 and not (asked and os.path.exists(f"{folder}/finished")):
    if os.path.exists(f"{folder}/{name}.die"):
        os.unlink(f"{folder}/{name}.die")
        os._exit(3)
    time.sleep(0.02)
"""


class Workers:
    """A supervisor of small processes, in a thread."""

    def __init__(self, folder: Path, script: str = FAKE) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.result: list[bool] = []
        (folder / "fake.py").write_text(script)
        self.supervisor = Supervisor(
            plans=plan_workers(["4", "6"], host="north", environment={}),
            command=self._command,
            environment=dict(os.environ),
            say=self.said.append,
            restart_delay=0.0,
            kill_delay=0.0,
        )
        self.thread = threading.Thread(target=lambda: self.result.append(self.supervisor.run()))
        self.thread.start()

    def _command(self, plan: WorkerPlan) -> list[str]:
        return [sys.executable, str(self.folder / "fake.py"), str(self.folder), plan.name]

    def wait_for(self, *names: str) -> None:
        wait_until(
            lambda: all((self.folder / name).exists() for name in names), what=f"{names} are there"
        )

    def wait(self) -> bool:
        self.thread.join(HANG_TIMEOUT)
        assert not self.thread.is_alive()
        return self.result[0]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    made: list[Workers] = []

    def start(*arguments: str) -> Workers:
        made.append(Workers(tmp_path, *arguments))
        return made[-1]

    yield start
    for one in made:
        one.supervisor.stop()
        one.supervisor.stop()
        one.wait()


BOTH = ("north-gpu-4.started", "north-gpu-6.started")


def test_running_runs_may_finish(make: Callable[..., Workers]) -> None:
    workers = make()
    workers.wait_for(*BOTH)
    lines = [(workers.folder / name).read_text() for name in BOTH]
    assert lines == ["4 gpu:north-4\n", "6 gpu:north-6\n"]
    workers.supervisor.stop()
    workers.wait_for("north-gpu-4.asked-1", "north-gpu-6.asked-1")
    assert workers.thread.is_alive()
    (workers.folder / "finished").touch()
    assert workers.wait() is True
    assert not (workers.folder / "north-gpu-4.asked-2").exists()
    assert workers.said == [
        "stopping when the running flow runs have ended; Ctrl-C again ends them now"
    ]


def test_a_second_request_ends_them(make: Callable[..., Workers]) -> None:
    workers = make()
    workers.wait_for(*BOTH)
    workers.supervisor.stop()
    workers.wait_for("north-gpu-4.asked-1", "north-gpu-6.asked-1")
    workers.supervisor.stop()
    assert workers.wait() is False
    assert workers.said[-1] == "ending the flow runs"


def test_a_worker_that_does_not_end_is_killed(make: Callable[..., Workers]) -> None:
    workers = make(FAKE.replace("asked < 2 and", "True or"))
    workers.wait_for(*BOTH)
    workers.supervisor.stop()
    workers.supervisor.stop()
    assert workers.wait() is False


def test_a_worker_that_dies_is_started_again(make: Callable[..., Workers]) -> None:
    workers = make()
    workers.wait_for(*BOTH)
    (workers.folder / "north-gpu-6.die").touch()
    started = workers.folder / "north-gpu-6.started"
    wait_until(lambda: len(started.read_text().split("\n")) == 3, what="it has started again")
    assert workers.said == ["north-gpu-6 has ended with status 3; it is started again in 0 s"]
    assert (workers.folder / "north-gpu-4.started").read_text() == "4 gpu:north-4\n"


def test_signals_stop_the_workers(make: Callable[..., Workers]) -> None:
    workers = make()
    workers.wait_for(*BOTH)
    before = signal.getsignal(signal.SIGINT)
    with stopped_by_signals(workers.supervisor):
        os.kill(os.getpid(), signal.SIGINT)
        workers.wait_for("north-gpu-4.asked-1")
        (workers.folder / "finished").touch()
        assert workers.wait() is True
    assert signal.getsignal(signal.SIGINT) == before
