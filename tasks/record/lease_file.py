"""The path and content of a lease file, and whether its holder is alive."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import asdict, fields, frozen

from cvat_flows.tasks.model.identity import TaskIdentity
from cvat_flows.tasks.storage import Storage

CLOCK_ALLOWANCE = 5.0
"""Seconds by which clocks may differ. An expired lease is respected for that much longer."""


@frozen(kw_only=True)
class LeaseEntry:
    """Content of a lease file."""

    token: str
    """Identifies the lease, a random text."""
    run_id: str
    run_name: str
    host: str
    expires: float
    """Unix time in seconds. 0: the lease was released."""
    machine: str = ""
    """`this_machine()` of the holder: `pid` is valid there. Empty if it is unknown."""
    pid: int = 0
    process_start: str = ""
    """`process_start(pid)`: tells the process from a later one with the same number."""
    writes: bool = True
    """Whether CVAT may be processing a request of the holder, or of a dead holder before it, that
    changes annotations."""

    @property
    def holder(self) -> str:
        """Names the run and its host."""
        name = f"{self.run_name!r} ({self.run_id})" if self.run_name else f"{self.run_id}"
        return f"run {name} on {self.host}"

    @property
    def is_alive(self) -> bool:
        """Whether the holder runs on this machine for certain, whatever the clock says."""
        return self._is_here and process_start(self.pid) == self.process_start != ""

    @property
    def is_dead(self) -> bool:
        """Whether the holder ran on this machine and has ended for certain."""
        if not self._is_here:
            return False
        start = process_start(self.pid)
        return start != self.process_start if start else not process_exists(self.pid)

    @property
    def _is_here(self) -> bool:
        return bool(self.machine) and self.machine == this_machine()


@frozen(kw_only=True)
class LeaseTiming:
    """Times of a lease, in seconds."""

    seconds: float = 60.0
    """How long the lease is valid after each renewal."""
    poll: float = 2.0
    """How often to look whether another run's lease has ended."""
    allowance: float = CLOCK_ALLOWANCE
    """How long an expired lease is still respected."""
    clock: Callable[[], float] = time.time


def lease_folder(task: TaskIdentity) -> str:
    """Return the folder of a task's lease files."""
    return f"leases/{task.folder}"


def current_writer(storage: Storage, task: TaskIdentity) -> LeaseEntry | None:
    """Return who holds the lease of a CVAT task, or None."""
    for stored in storage.list(lease_folder(task)):
        entry = parse_lease(storage.read(stored.path))
        if entry is None or entry.expires == 0.0:
            continue
        if entry.is_alive or entry.expires + CLOCK_ALLOWANCE > time.time():
            return entry
    return None


def dump_lease(entry: LeaseEntry) -> bytes:
    """Return the content of a lease file."""
    return json.dumps(asdict(entry), indent=1).encode()


def parse_lease(content: bytes | None) -> LeaseEntry | None:
    """Read a lease file. An unreadable file counts as no lease: it is an incomplete write.

    Unknown fields, which a later version may add, are ignored.
    """
    try:
        row: Any = json.loads(content or b"null")
        names = {field.name for field in fields(LeaseEntry)}
        return LeaseEntry(**{k: v for k, v in row.items() if k in names}) if row else None
    except (ValueError, TypeError, AttributeError):
        return None


def this_machine() -> str:
    """Identify this boot of this machine and the namespace of process ids (each container's own).

    Returns an empty string if the system does not tell (outside Linux).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


ENDED = "ended"


def process_start(pid: int) -> str:
    """Return when the process began, in clock ticks since the boot.

    Returns ENDED if it has ended and is only kept for its parent, and an empty string if the system
    does not tell (outside Linux, or a process of another user).
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return ENDED if status[0] in "ZX" else status[19]


def process_exists(pid: int) -> bool:
    """Return whether there is a process with this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs as another user
    return True
