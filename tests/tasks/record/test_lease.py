"""There is one writer at a time, in a folder and in object storage, even if writers are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from cvat_flows.tasks.record import held_lease
from cvat_flows.tasks.record import lease as lease_module
from cvat_flows.tasks.record.held_lease import Lease, LeaseLost
from cvat_flows.tasks.record.lease import TaskIsBusy, task_lease
from cvat_flows.tasks.record.lease_file import (
    CLOCK_ALLOWANCE,
    LeaseEntry,
    LeaseTiming,
    parse_lease,
    process_start,
    this_machine,
)
from cvat_flows.tasks.record.manifest_file import RunStamp
from cvat_flows.tasks.storage import FolderStorage, Storage, StorageError, open_storage
from tests.support.identity import task_number
from tests.support.waiting import HANG_TIMEOUT, wait_until

FIRST = RunStamp(id="run-1", name="brave-otter")
SECOND = RunStamp(id="run-2", name="calm-newt")
Take = Callable[..., Any]


@pytest.fixture(params=["folder", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return FolderStorage(tmp_path)
    bucket = "memory://leases" if request.param == "memory" else request.getfixturevalue("s3")
    return open_storage(f"{bucket}/{tmp_path.name}")


@pytest.fixture
def take(storage: Storage) -> Take:
    def take(
        run: RunStamp,
        *,
        task_id: int = 5,
        wait: float = 0,
        storage: Any = storage,
        **timing: Any,
    ) -> Any:
        return task_lease(
            storage,
            task=task_number(task_id),
            run=run,
            wait=wait,
            timing=LeaseTiming(**{"poll": 0.01, **timing}),
        )

    return take


def test_the_error_names_the_other_run(take: Take) -> None:
    with take(FIRST) as lease:
        lease.check()
        with (
            pytest.raises(TaskIsBusy, match=r"brave-otter.*run-1.*waited 0 s") as caught,
            take(SECOND),
        ):
            pass
        assert caught.value.holder.run_id == "run-1"
        with take(SECOND, task_id=6) as other:
            other.check()
        lease.check()


def test_the_second_run_gets_its_turn(take: Take) -> None:
    for _ in range(3):
        with take(FIRST):
            pass
    order: list[str] = []
    started = threading.Event()

    def first() -> None:
        with take(FIRST):
            started.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert started.wait(HANG_TIMEOUT)
    with take(SECOND, wait=HANG_TIMEOUT):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def on_another_machine(lease: Lease) -> None:
    """Let the lease look as if its holder could not be seen from here."""
    lease.entry = evolve(lease.entry, machine="another")
    lease._write(expires=lease.timing.clock() + lease.timing.seconds)


@pytest.mark.parametrize("step", [3600.0, 1e9, -3600.0])
def test_a_living_process_holds_its_lease_whatever_the_clock_says(take: Take, step: float) -> None:
    with take(FIRST, seconds=0.4) as lease:
        lease._stop.set()  # it could not even renew
        with pytest.raises(TaskIsBusy), take(SECOND, clock=lambda: time.time() + step):
            pass


def test_a_run_knows_since_when_no_other_has_written(take: Take) -> None:
    """A later run need not wait for requests of a run that was killed long ago."""
    now = time.time()
    with take(FIRST) as lease:
        assert lease.quiet_since >= now  # nobody knows
    returned = time.time()
    with take(SECOND, clock=lambda: returned + 1000) as lease:
        assert returned - 2 <= lease.quiet_since <= time.time() + CLOCK_ALLOWANCE
    killed = take(FIRST, seconds=60, clock=lambda: returned + 2000)
    lease = killed.__enter__()
    lease._stop.set()
    on_another_machine(lease)
    with take(SECOND, clock=lambda: returned + 9000) as lease:
        assert lease.quiet_since == returned + 2000 + 60 + CLOCK_ALLOWANCE


def test_a_killed_writer_blocks_until_its_lease_ends(take: Take) -> None:
    now = time.time()
    killed = take(FIRST, seconds=60, clock=lambda: now)
    lease = killed.__enter__()
    lease._stop.set()  # no renewal, no release: it is dead
    on_another_machine(lease)
    soon = now + 60 + CLOCK_ALLOWANCE
    with pytest.raises(TaskIsBusy), take(SECOND, clock=lambda: soon - 1):
        pass
    with take(SECOND, clock=lambda: soon + 1) as next_one:
        next_one.check()
        # If it was only suspended, it does not take the lease back.
        lease.release()
        next_one.check()
        with pytest.raises(TaskIsBusy), take(FIRST, clock=lambda: soon + 2):
            pass


def test_a_lease_with_unknown_fields_is_respected(tmp_path: Path, take: Take) -> None:
    storage = FolderStorage(tmp_path / "other")
    with take(FIRST, storage=storage):
        (stored,) = storage.list("leases")
        content = json.loads(storage.read(stored.path) or b"")
        storage.write(stored.path, json.dumps({**content, "priority": 7}).encode())
        with pytest.raises(TaskIsBusy, match="brave-otter"), take(SECOND, storage=storage):
            pass


def await_renewal(lease: Lease) -> None:
    end = lease._valid_until
    wait_until(lambda: lease._valid_until > end, what="the lease is renewed")


def test_other_files_beside_a_lease_are_ignored(tmp_path: Path, take: Take) -> None:
    storage = FolderStorage(tmp_path / "shared")
    with take(FIRST, storage=storage, seconds=4.0) as lease:
        (stored,) = storage.list("leases")
        folder = (storage.root / stored.path).parent
        (folder / ".nfs000000000001").write_bytes(b"{}")
        (folder / ".DS_Store").write_bytes(b"\0")
        await_renewal(lease)
        lease.check()
        with pytest.raises(TaskIsBusy, match="brave-otter"), take(SECOND, storage=storage):
            pass
    with take(SECOND, storage=storage) as lease:
        lease.check()


def entry_of(pid: int, machine: str | None = None, start: str | None = None) -> LeaseEntry:
    return LeaseEntry(
        token="t",
        run_id="r",
        run_name="",
        host="h",
        expires=0.0,
        machine=this_machine() if machine is None else machine,
        pid=pid,
        process_start=process_start(pid) if start is None else start,
    )


NO_PROCESS = 2**22 + 1
"""Above the highest process number there can be."""


@pytest.mark.parametrize(
    ("entry", "alive", "dead"),
    [
        (entry_of(os.getpid()), True, False),
        (entry_of(1), True, False),
        (entry_of(NO_PROCESS), False, True),
        (entry_of(NO_PROCESS, machine="another"), False, False),
        (entry_of(os.getpid(), machine=""), False, False),
        # The number is in use again, by a process that began later.
        (entry_of(os.getpid(), start="1"), False, True),
    ],
)
def test_only_what_is_certain_counts(entry: LeaseEntry, alive: bool, dead: bool) -> None:
    assert (entry.is_alive, entry.is_dead) == (alive, dead)


def test_a_process_that_was_not_waited_for_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    entry = entry_of(child.pid)
    assert entry.is_alive
    child.kill()
    wait_until(lambda: entry.is_dead, what="the process has ended")
    child.communicate()
    assert entry.is_dead


def test_a_lease_is_renewed(take: Take) -> None:
    seconds = 6.0
    with take(FIRST, seconds=seconds) as lease:
        for _ in range(2):
            end = lease._valid_until
            await_renewal(lease)
            # Renewed after a quarter of the lease, long before its end.
            assert lease._valid_until - seconds < end
        lease.check()


class Failing:
    """Storage that stops working."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        if self.broken and name in ("read", "write"):
            raise StorageError("gone")
        return getattr(self.storage, name)


def test_a_run_that_cannot_renew_loses_its_lease(storage: Storage, take: Take) -> None:
    failing = Failing(storage)
    with take(FIRST, storage=failing, seconds=0.4) as lease:
        failing.broken = True
        time.sleep(0.5)
        with pytest.raises(LeaseLost, match="task 5"):
            lease.check()


def test_one_of_many_runs_writes_at_a_time(take: Take) -> None:
    inside: list[int] = []
    counts: list[int] = []
    done: list[int] = []

    def work(n: int) -> None:
        with take(RunStamp(id=str(n)), wait=HANG_TIMEOUT):
            inside.append(n)
            counts.append(len(inside))
            time.sleep(0.01)
            inside.remove(n)
            done.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(5))
    assert max(counts) == 1


@pytest.mark.parametrize("writes_later", [False, True])
def test_a_dead_process_of_this_machine_blocks_for_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes_later: bool
) -> None:
    storage = FolderStorage(tmp_path)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    clocks = SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=sleep)
    for module in (held_lease, lease_module):
        monkeypatch.setattr(module, "time", clocks)
    monkeypatch.setattr(held_lease, "DEAD_HOLDER_SECONDS", 1.0)
    script = (
        "import os, sys; from pathlib import Path\n"
        "from cvat_flows.tasks.record.lease import task_lease\n"
        "from cvat_flows.tasks.record.manifest_file import RunStamp\n"
        "from cvat_flows.tasks.storage import FolderStorage\n"
        "from tests.support.identity import task_number\n"
        "with task_lease(FolderStorage(Path(sys.argv[1])), task=task_number(1),\n"
        "                run=RunStamp(id='killed')): os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=HANG_TIMEOUT)
    started = time.monotonic()
    with task_lease(
        storage,
        task=task_number(1),
        run=RunStamp(id="next"),
        wait=50,
        writes_later=writes_later,
        timing=LeaseTiming(poll=0.05),
    ) as lease:
        assert (not slept) == writes_later
        lease.begin_writing()  # CVAT may be processing a request of the dead process
        # The lease itself would have held for more than a minute.
        assert 1.0 <= time.monotonic() - started < 60


def killed(folder: Path, what: str) -> None:
    """Run a process that takes the lease, executes `what` and dies."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from cvat_flows.tasks.record.lease import task_lease\n"
        "from cvat_flows.tasks.record.manifest_file import RunStamp\n"
        "from cvat_flows.tasks.storage import FolderStorage\n"
        "from tests.support.identity import task_number\n"
        "with task_lease(FolderStorage(Path(sys.argv[1])), task=task_number(1),\n"
        "                run=RunStamp(id='killed'), writes_later=True) as lease:\n"
        f"    {what}\n"
        "    os._exit(9)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    assert subprocess.run(command, check=False, timeout=HANG_TIMEOUT).returncode == 9


@pytest.mark.parametrize(
    ("fates", "waits"),
    [
        (["pass"], False),
        (["lease.begin_writing()"], True),
        # CVAT may still process a request of the first when the second is killed.
        (["lease.begin_writing()", "pass"], True),
    ],
    ids=["detecting", "writing", "writing, then detecting"],
)
def test_the_wait_is_only_for_processes_that_had_begun_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fates: list[str], waits: bool
) -> None:
    monkeypatch.setattr(held_lease, "DEAD_HOLDER_SECONDS", 0.5)
    slept: list[float] = []
    clocks = SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=slept.append)
    for what in fates:
        killed(tmp_path, what)
    for module in (held_lease, lease_module):
        monkeypatch.setattr(module, "time", clocks)
    run = RunStamp(id="next")
    storage = FolderStorage(tmp_path)
    with task_lease(storage, task=task_number(1), run=run, writes_later=True) as lease:
        lease.begin_writing()
        assert (max(slept) > 0) == waits
        (file,) = storage.list("leases")
        assert b'"writes": true' in (storage.read(file.path) or b"")


def test_a_renewal_keeps_the_mark_of_writing(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    run = RunStamp(id="long")
    timing = LeaseTiming(seconds=0.4)
    with task_lease(
        storage, task=task_number(1), run=run, writes_later=True, timing=timing
    ) as lease:
        before = lease.entry
        assert not before.writes
        lease._valid_until = float("inf")  # also on a slow machine
        lease.begin_writing()
        (file,) = storage.list("leases")

        def renewed() -> bool:
            entry = parse_lease(storage.read(file.path))
            assert entry is not None
            assert entry.writes
            return entry.expires > begun + 0.2

        begun = parse_lease(storage.read(file.path)).expires  # type: ignore[union-attr]
        wait_until(renewed, what="the lease is renewed")
