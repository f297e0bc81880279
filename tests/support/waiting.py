"""Wait for what comes by itself, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

A_HANG = 300.0
"""Seconds after which nobody waits on: a limit to fail at, no time that anything may take."""


def wait_until(
    condition: Callable[[], Found],
    *,
    what: str,
    seconds: float = A_HANG,
    every: float = 0.1,
    story: Callable[[], object] = str,
) -> Found:
    """Wait for a condition and return what it came to; `story` tells what was there instead."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; {story()}"
        time.sleep(every)
    return found
