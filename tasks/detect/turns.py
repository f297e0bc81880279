"""Admit threads one at a time, in the order in which their numbers were queued."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from cvat_flows.tasks.model.errors import StepCancelled


class TurnCancelled(StepCancelled):
    """The run ended while a batch was waiting for its turn."""


class TurnQueue:
    """Numbers that take turns in the order in which they were queued. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[int] = deque()
        self._cancelled = False

    def enqueue(self, number: int) -> None:
        """Add a number at the end of the queue."""
        with self._changed:
            self._queue.append(number)

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Run the block after the blocks of all numbers queued before this one.

        A number that is not in the queue does not wait. If the block raises, the whole queue is
        cancelled.

        Raises TurnCancelled if the queue is cancelled first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or self._is_next(number))
            if self._cancelled:
                raise TurnCancelled("the run ended before it was this batch's turn")
        try:
            yield
        except BaseException:
            self.cancel()
            raise
        with self._changed:
            if number in self._queue:
                self._queue.remove(number)
            self._changed.notify_all()

    def cancel(self) -> None:
        """Admit no thread any more. Waiting threads get TurnCancelled."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def check(self) -> None:
        """Raise TurnCancelled if the queue is cancelled: the run has ended."""
        if self._cancelled:
            raise TurnCancelled("the run ended before all images of this batch were processed")

    def _is_next(self, number: int) -> bool:
        return number not in self._queue or self._queue[0] == number
