"""The number of usable processor cores."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_cores() -> int:
    """Return the number of cores that this process may use.

    CPU affinity and the CPU quota of a container limit it.
    """
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        if quota != "max":
            available = min(available, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no quota, or not on Linux
    return available
