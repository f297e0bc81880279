"""How many processors there are to use."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_cores() -> int:
    """Processor cores that this process may use: its affinity and its container's quota."""
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        if quota != "max":
            available = min(available, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no container, or not on Linux
    return available
