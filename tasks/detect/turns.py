"""Let threads in one after the other, in the order in which they lined up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from cvat_flows.tasks.model.errors import CvatFlowsError


class TurnLost(CvatFlowsError):
    """The run ended before it was the turn of what had lined up."""


class Turns:
    """A line of numbers. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[int] = deque()
        self._over = False

    def line_up(self, number: int) -> None:
        """Take the last place in the line."""
        with self._changed:
            self._line.append(number)

    @contextmanager
    def of(self, number: int) -> Iterator[None]:
        """Wait until all that lined up before are through; one that did not line up need not wait.

        Raises TurnLost if it comes to nothing. What the block raises ends all turns.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._may_go(number))
            if self._over:
                raise TurnLost("the run ended before it was this batch's turn")
        try:
            yield
        except BaseException:
            self.end()
            raise
        with self._changed:
            if number in self._line:
                self._line.remove(number)
            self._changed.notify_all()

    def end(self) -> None:
        """Let nothing in any more; what waits gets TurnLost."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _may_go(self, number: int) -> bool:
        return number not in self._line or self._line[0] == number
