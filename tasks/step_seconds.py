"""How long a run's steps take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.frames import Step


class StepSeconds:
    """Wall time by step in seconds, summed over the task runs of the step. Thread-safe."""

    def __init__(self) -> None:
        self._seconds: dict[Step, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, step: Step) -> Iterator[None]:
        """Count the time until the block is left, however it is left."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begin
            with self._lock:
                self._seconds[step] = self._seconds.get(step, 0.0) + seconds

    def totals(self) -> dict[Step, float]:
        """In the order in which the steps first ended."""
        with self._lock:
            return dict(self._seconds)
