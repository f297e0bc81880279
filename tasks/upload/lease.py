"""One writer for a CVAT task, wherever it runs: a lease in the storage that the manifests are in.

A lease is a file that says who writes and until when; its owner renews it. A killed owner stops
renewing, so it blocks nobody for longer than the lease lasts (on the same machine, where it is seen
to be dead, for ten seconds if it had begun to write, and only from writing). On a folder and on S3,
of two runs that reach for a free lease at the same time exactly one gets it. Other object storage
has no exclusive create here: a run writes its claim, waits, and reads who won (the last to write
did). The machines' clocks must agree to within a few seconds.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from attrs import asdict, define, evolve, field, fields, frozen

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.storage import Storage, StorageError
from cvat_flows.tasks.upload.manifest import server_slug
from cvat_flows.tasks.upload.manifest_file import RunStamp
from cvat_flows.tasks.upload.process import is_dead, this_machine

LEASE_SECONDS = 60.0
CLOCK_ALLOWANCE = 5.0
"""Seconds by which clocks may differ: an expired lease is honoured for that much longer."""
DEAD_HOLDER_SECONDS = 10.0
"""How long the lease of a process of this machine that is seen to be dead is honoured still: a
request that it had sent may be at work in CVAT."""
SETTLE_SECONDS = 3.0
"""Without an exclusive create: how long a claim must stand before it counts. Longer than a write
takes."""
_NUMBERED = re.compile(r"/(\d+)\.json$")


class TaskIsBusy(CvatFlowsError):
    """Another run writes to the CVAT task."""

    def __init__(self, message: str, *, holder: LeaseEntry) -> None:
        super().__init__(message)
        self.holder = holder


class LeaseLost(CvatFlowsError):
    """This run has not renewed its lease in time, and must not write any more."""


@frozen(kw_only=True)
class LeaseEntry:
    """Content of a lease file."""

    token: str
    run_id: str
    run_name: str
    host: str
    expires: float
    """Unix time, seconds. 0: given back."""
    machine: str = ""
    """Tells where `pid` is a process; empty where that cannot be known."""
    pid: int = 0
    writes: bool = True
    """Whether a request that changes annotations may be at work in CVAT: the holder's, or one of a
    dead holder before it."""

    @property
    def holder(self) -> str:
        name = f"{self.run_name!r} ({self.run_id})" if self.run_name else f"{self.run_id}"
        return f"run {name} on {self.host}"


@contextmanager
def task_lease(
    storage: Storage,
    *,
    server: str,
    task_id: int,
    run: RunStamp,
    wait: float = 600.0,
    seconds: float = LEASE_SECONDS,
    settle: float = SETTLE_SECONDS,
    poll: float = 2.0,
    allowance: float = CLOCK_ALLOWANCE,
    clock: Callable[[], float] = time.time,
    at_once: bool = False,
) -> Iterator[Lease]:
    """Be the only writer of the CVAT task inside the block.

    Waits up to `wait` seconds for another run to end; then raises TaskIsBusy, which names it.
    Give `lease.check` to the upload: it raises LeaseLost if the lease could not be renewed.
    `at_once` takes over from a dead process of this machine without the ten seconds for its last
    request: the caller calls `lease.begin_writing` before it looks at annotations to write.
    """
    lease = Lease(
        storage=storage,
        folder=f"leases/{server_slug(server)}/task-{task_id}",
        entry=LeaseEntry(
            token=secrets.token_hex(8),
            run_id=run.id,
            run_name=run.name,
            host=f"{socket.gethostname()}:{os.getpid()}",
            expires=0.0,
            machine=this_machine(),
            pid=os.getpid(),
            writes=not at_once,
        ),
        seconds=seconds,
        settle=settle,
        allowance=allowance,
        clock=clock,
        at_once=at_once,
    )
    deadline = time.monotonic() + wait
    while (holder := lease.try_to_take()) is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TaskIsBusy(
                f"task {task_id} is being written to by {holder.holder}; waited {wait:g} s for it "
                "to end. Try again later, or cancel that run",
                holder=holder,
            )
        time.sleep(min(poll, left))
    lease.keep()
    try:
        yield lease
    finally:
        lease.give_back()


def current_writer(storage: Storage, *, server: str, task_id: int) -> LeaseEntry | None:
    """Who writes to the CVAT task now, for those who only want to know."""
    folder = f"leases/{server_slug(server)}/task-{task_id}"
    paths = [f"{folder}.json", *(stored.path for stored in storage.list(folder))]
    for entry in (_parse(storage.read(path)) for path in paths):
        if entry is not None and entry.expires + CLOCK_ALLOWANCE > time.time():
            return entry
    return None


@define(kw_only=True, eq=False)
class Lease:
    """A run's claim to be the only writer of a task."""

    storage: Storage
    folder: str
    entry: LeaseEntry
    seconds: float
    settle: float
    allowance: float
    clock: Callable[[], float]
    at_once: bool
    _path: str = field(default="", init=False)
    _good_until: float = field(default=0.0, init=False)
    """On the monotonic clock: until when the lease is ours for certain."""
    _seen_dead: dict[str, float] = field(factory=dict, init=False)
    """When, on the monotonic clock, a holder (by its token) was first seen to be dead."""
    _quiet_from: float = field(default=0.0, init=False)
    """On the monotonic clock: when the last request of a dead holder is over."""
    _writing: threading.Lock = field(factory=threading.Lock, init=False)
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def try_to_take(self) -> LeaseEntry | None:
        """Take the lease, or return who has it."""
        return self._take_file() if self.storage.creates_atomically else self._take_object()

    def check(self) -> None:
        """Raise LeaseLost unless the lease is certainly ours. Costs nothing."""
        if time.monotonic() >= self._good_until:
            raise LeaseLost(
                f"this run has lost its right to write to {self.folder.rpartition('/')[2]}: it "
                f"could not renew it for {self.seconds:g} s; run it again"
            )

    def begin_writing(self) -> None:
        """Wait until no request of a dead holder can be at work in CVAT any more, and say in the
        lease that one of ours may be from now on. Raises LeaseLost, StorageError."""
        time.sleep(max(0.0, self._quiet_from - time.monotonic()))
        self.check()
        self.entry = evolve(self.entry, writes=True)
        self._write(expires=self.clock() + self.seconds)

    def keep(self) -> None:
        """Renew the lease from a thread until it is given back."""
        self._thread = threading.Thread(target=self._renew, name="cvat-flows-lease", daemon=True)
        self._thread.start()

    def give_back(self) -> None:
        """Stop renewing and let the next run have it at once."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        self._good_until = 0.0
        with suppress(StorageError, OSError):  # then it ends by itself
            if self._is_mine():
                self._write(expires=0.0)

    def _take_file(self) -> LeaseEntry | None:
        """Files are numbered; the highest number rules, and only its owner writes to it.

        A taker creates the next number, which only one can. Then it looks again: it may have been
        so slow that a higher one has come and gone.
        """
        numbers = self._numbers()
        latest = numbers[-1] if numbers else 0
        holder = self._holder(self._file(latest)) if latest else None
        if holder:
            return holder
        path = self._file(latest + 1)
        good_until = time.monotonic() + self.seconds
        fresh = evolve(self.entry, expires=self.clock() + self.seconds)
        if not self.storage.create(path, _dump(fresh)):
            return self._holder(path) or fresh
        numbers = self._numbers()
        if numbers[-1] != latest + 1:
            self.storage.delete(path)
            return self._holder(self._file(numbers[-1])) or fresh
        self._path, self._good_until = path, good_until
        for number in numbers[:-1]:
            self.storage.delete(self._file(number))
        return None

    def _take_object(self) -> LeaseEntry | None:
        path = f"{self.folder}.json"
        holder = self._holder(path)
        if holder:
            return holder
        good_until = time.monotonic() + self.seconds
        self._path = path
        self._write(expires=self.clock() + self.seconds)
        time.sleep(self.settle)
        winner = _parse(self.storage.read(path))
        if winner is None or winner.token != self.entry.token:
            self._path = ""
            return winner or self.entry
        self._good_until = good_until
        return None

    def _renew(self) -> None:
        while not self._stop.wait(self.seconds / 4):
            good_until = time.monotonic() + self.seconds
            try:
                if not self._is_mine():
                    self._good_until = 0.0
                    return
                self._write(expires=self.clock() + self.seconds)
            except (StorageError, OSError):
                continue  # `check` tells when it has failed for too long
            self._good_until = good_until

    def _is_mine(self) -> bool:
        entry = _parse(self.storage.read(self._path)) if self._path else None
        if entry is None or entry.token != self.entry.token:
            return False
        if not self.storage.creates_atomically:
            return True
        numbers = self._numbers()
        return bool(numbers) and self._file(numbers[-1]) == self._path

    def _holder(self, path: str) -> LeaseEntry | None:
        """Who holds the lease in the file, if it has not ended."""
        entry = _parse(self.storage.read(path))
        if entry is None or entry.expires == 0.0:
            return None
        if is_dead(entry.machine, entry.pid):
            if not entry.writes:
                return None
            # Who takes over from us before that time has passed has to wait, too.
            self.entry = evolve(self.entry, writes=True)
            since = self._seen_dead.setdefault(entry.token, time.monotonic())
            self._quiet_from = since + DEAD_HOLDER_SECONDS
            if self.at_once or time.monotonic() >= self._quiet_from:
                return None
        return entry if entry.expires + self.allowance > self.clock() else None

    def _write(self, *, expires: float) -> None:
        with self._writing:  # or a renewal could put back what the entry said before
            self.storage.write(self._path, _dump(evolve(self.entry, expires=expires)))

    def _numbers(self) -> list[int]:
        # NFS shows a file that is deleted while it is read as `.nfs...`, a Mac leaves `.DS_Store`.
        names = (_NUMBERED.search(stored.path) for stored in self.storage.list(self.folder))
        return sorted(int(name[1]) for name in names if name)

    def _file(self, number: int) -> str:
        return f"{self.folder}/{number:09d}.json"


def _dump(entry: LeaseEntry) -> bytes:
    return json.dumps(asdict(entry), indent=1).encode()


def _parse(content: bytes | None) -> LeaseEntry | None:
    """An unreadable file counts as no lease: only a half-written object can be one.

    Fields that a later version may have added are passed over, not taken for damage.
    """
    try:
        row: Any = json.loads(content or b"null")
        names = {field.name for field in fields(LeaseEntry)}
        return LeaseEntry(**{k: v for k, v in row.items() if k in names}) if row else None
    except (ValueError, TypeError, AttributeError):
        return None
