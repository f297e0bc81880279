"""Whether a process that wrote its number down is certainly no more."""

from __future__ import annotations

import os
from pathlib import Path


def this_machine() -> str:
    """This boot of this machine and this namespace of process ids (a container has its own).

    Empty where the system does not tell (outside Linux).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_dead(machine: str, pid: int) -> bool:
    """Whether process `pid` of `this_machine()` as it was written down has ended."""
    if not machine or machine != this_machine():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, as somebody else
    return False
