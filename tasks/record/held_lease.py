"""The claim of one run to a CVAT task: take it, renew it, and give it back.

Exactly one of two runs gets a free lease, because the storage creates a file for one of them only;
storage that cannot do this is refused. A living process of the same machine holds its lease
whatever the clock says. The clocks of different machines must agree to within a few seconds.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from datetime import datetime

from attrs import define, evolve, field

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.record.lease_file import (
    LeaseEntry,
    LeaseTiming,
    dump_lease,
    lease_folder,
    parse_lease,
)
from cvat_flows.tasks.storage import Storage, StorageError

DEAD_HOLDER_SECONDS = 10.0
"""How long the lease of a dead process on this machine is respected. CVAT may still be processing
its last request."""
_NUMBERED = re.compile(r"/(\d+)\.json$")


class LeaseLost(CvatFlowsError):
    """This run did not renew its lease in time, and must not write any more."""


@define(kw_only=True, eq=False)
class Lease:
    """A run's claim to be the only writer of a CVAT task."""

    storage: Storage
    task: TaskIdentity
    entry: LeaseEntry
    timing: LeaseTiming
    writes_later: bool
    quiet_since: float = field(default=0.0, init=False)
    """Since when certainly no earlier run has written to the CVAT task (seconds since 1970)."""
    _path: str = field(default="", init=False)
    _valid_until: float = field(default=0.0, init=False)
    """Until when the lease is certainly ours, on the monotonic clock."""
    _seen_dead: dict[str, float] = field(factory=dict, init=False)
    """When the holder of a lease (by token) was first seen to be dead, on the monotonic clock."""
    _may_write_from: float = field(default=0.0, init=False)
    """When the last request of a dead holder is over, on the monotonic clock."""
    _write_lock: threading.Lock = field(factory=threading.Lock, init=False)
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def try_to_take(self) -> LeaseEntry | None:
        """Take the lease and return None, or return who has it.

        The file with the highest number is valid, and only its owner writes to it. To take the
        lease, a run creates the next number, which only one run can. Then it lists the files again:
        if it was slow, a higher number may have been created and released meanwhile.
        """
        files = self._files()
        latest = max(files, default=0)
        holder = self._holder(self._file(latest)) if latest else None
        if holder:
            return holder
        quiet_since = self._end_of(latest, files.get(latest))
        path = self._file(latest + 1)
        valid_until = time.monotonic() + self.timing.seconds
        fresh = evolve(self.entry, expires=self.timing.clock() + self.timing.seconds)
        if not self.storage.create(path, dump_lease(fresh)):
            return self._holder(path) or fresh
        numbers = sorted(self._files())
        if numbers[-1] != latest + 1:
            self.storage.delete(path)
            return self._holder(self._file(numbers[-1])) or fresh
        self._path, self._valid_until, self.quiet_since = path, valid_until, quiet_since
        for number in numbers[:-1]:
            self.storage.delete(self._file(number))
        return None

    def check(self) -> None:
        """Raise LeaseLost unless the lease is certainly ours. Reads nothing."""
        if time.monotonic() >= self._valid_until:
            raise LeaseLost(
                f"this run has lost its right to write to task {self.task.task_id}: it "
                f"could not renew its lease for {self.timing.seconds:g} s; run it again"
            )

    def begin_writing(self) -> None:
        """Wait for the last request of a dead holder, and record that this run writes from now on.

        Raises LeaseLost and StorageError.
        """
        time.sleep(max(0.0, self._may_write_from - time.monotonic()))
        self.check()
        self.entry = evolve(self.entry, writes=True)
        self._write(expires=self.timing.clock() + self.timing.seconds)

    def start_renewing(self) -> None:
        """Renew the lease in a thread until it is released."""
        self._thread = threading.Thread(target=self._renew, name="cvat-flows-lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Stop renewing, so that the next run gets the lease immediately."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        self._valid_until = 0.0
        with suppress(StorageError, OSError):  # then the lease expires
            if self._is_ours():
                self._write(expires=0.0)

    def _renew(self) -> None:
        while not self._stop.wait(self.timing.seconds / 4):
            valid_until = time.monotonic() + self.timing.seconds
            try:
                if not self._is_ours():
                    self._valid_until = 0.0
                    return
                self._write(expires=self.timing.clock() + self.timing.seconds)
            except (StorageError, OSError):
                continue  # `check` raises if this fails for too long
            self._valid_until = valid_until

    def _is_ours(self) -> bool:
        entry = parse_lease(self.storage.read(self._path)) if self._path else None
        if entry is None or entry.token != self.entry.token:
            return False
        return self._file(max(self._files(), default=0)) == self._path

    def _holder(self, path: str) -> LeaseEntry | None:
        """Return who holds the lease in the file, or None if it has ended."""
        entry = parse_lease(self.storage.read(path))
        if entry is None or entry.expires == 0.0:
            return None
        if entry.is_alive:
            return entry
        if entry.is_dead:
            if not entry.writes:
                return None
            # If this run dies as well before that time, the next one must wait, too.
            self.entry = evolve(self.entry, writes=True)
            since = self._seen_dead.setdefault(entry.token, time.monotonic())
            self._may_write_from = since + DEAD_HOLDER_SECONDS
            if self.writes_later or time.monotonic() >= self._may_write_from:
                return None
        is_valid = entry.expires + self.timing.allowance > self.timing.clock()
        return entry if is_valid else None

    def _write(self, *, expires: float) -> None:
        with self._write_lock:  # otherwise a renewal could write an outdated entry
            self.storage.write(self._path, dump_lease(evolve(self.entry, expires=expires)))

    def _end_of(self, number: int, modified: datetime | None) -> float:
        """Return until when the holder of a lease that has ended may have written.

        A lease that was returned was written then. One that has expired was renewed until a lease's
        time before that.
        """
        now = self.timing.clock()
        entry = parse_lease(self.storage.read(self._file(number))) if modified else None
        if entry is None or modified is None:
            return now
        end = max(entry.expires, modified.timestamp()) + self.timing.allowance
        return min(now, end)

    def _files(self) -> dict[int, datetime]:
        """Return when each file was written, by its number."""
        # NFS lists `.nfs...` for a file that is deleted while it is read; macOS adds `.DS_Store`.
        files = self.storage.list(lease_folder(self.task))
        numbered = ((_NUMBERED.search(stored.path), stored) for stored in files)
        return {int(name[1]): stored.modified for name, stored in numbered if name}

    def _file(self, number: int) -> str:
        return f"{lease_folder(self.task)}/{number:09d}.json"
