"""Wait for a condition, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

HANG_TIMEOUT = 300.0
"""In seconds. A test that waits longer fails: it hangs."""


def wait_until(
    condition: Callable[[], Found],
    *,
    what: str,
    seconds: float = HANG_TIMEOUT,
    every: float = 0.1,
    describe: Callable[[], object] = str,
) -> Found:
    """Wait until `condition` is true and return its value.

    After `seconds`, fails with a message of `what` was awaited and of `describe()`, the state.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; {describe()}"
        time.sleep(every)
    return found
