"""Check how much disk space is left."""

from __future__ import annotations

import shutil
from pathlib import Path

from cvat_flows.deployments.doctor.verdict import Verdict, failure, ok, warning

GIBIBYTE = 1 << 30
LOW_SPACE = 5 * GIBIBYTE
NO_SPACE = GIBIBYTE // 2


def check_disk(what: str, folder: Path, advice: str) -> Verdict:
    """Check the free space of a folder's disk. `advice` goes with a warning."""
    free = shutil.disk_usage(folder).free
    text = f"{free / GIBIBYTE:.1f} GiB free in {folder}"
    if free < NO_SPACE:
        return failure(what, text, "free some disk space: runs fail without it")
    return warning(what, text, advice) if free < LOW_SPACE else ok(what, text)
