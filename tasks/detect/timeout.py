"""Call something that may never return, and go on without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

from cvat_flows.tasks.model.errors import CvatFlowsError

T = TypeVar("T")

MOST_IN_A_ROW = 5
"""Calls without an answer: more than a few frames at fault, the function is."""


class NoAnswer(Exception):
    """A call took longer than it may."""


class KeepsHanging(CvatFlowsError):
    """So many calls in a row took longer than they may that others will, too."""


class CallInTime:
    """Makes calls one after the other in a thread of their own, and waits `seconds` for each.

    Python cannot end a thread. One that does not answer is left behind, and the next call gets
    another; it is a daemon, so the process can end all the same. One object serves one caller.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._in_a_row = 0
        self._calls: SimpleQueue[_Call | None] | None = None

    def __call__(self, what: str, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns or raises, `KeyboardInterrupt` and `SystemExit` included.

        Raises NoAnswer when the time is over, and KeepsHanging, which says on `what`, when that
        has happened too often; from then on nothing is called any more.
        """
        if self._in_a_row >= MOST_IN_A_ROW:
            raise self._keeps_hanging(what)
        if self._calls is None:
            self._calls = SimpleQueue()
            threading.Thread(
                target=_work, args=[self._calls], name="aa-function", daemon=True
            ).start()
        answer: Future[T] = Future()
        self._calls.put((copy_context(), answer, function, arguments))
        wait([answer], self.seconds)
        if answer.done():
            self._in_a_row = 0
            return answer.result()
        self.close()
        self._in_a_row += 1
        if self._in_a_row >= MOST_IN_A_ROW:
            raise self._keeps_hanging(what)
        raise NoAnswer(f"no answer within {self.seconds:,g} s (detect_timeout)")

    def _keeps_hanging(self, what: str) -> KeepsHanging:
        return KeepsHanging(
            f"{self._in_a_row} calls of the function in a row took longer than "
            f"{self.seconds:,g} s, the last on {what}: it hangs, or needs a longer "
            "detect_timeout. Detections so far are cached; run it again when the function answers"
        )

    def close(self) -> None:
        """Let the thread end once it has nothing to do any more."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


_Call = tuple[Context, Future[Any], Callable[..., Any], tuple[Any, ...]]


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while call := calls.get():
        _answer(*call)
        del call  # or its images live until the next one comes


def _answer(
    context: Context,
    answer: Future[Any],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    try:
        answer.set_result(context.run(function, *arguments))
    except BaseException as error:
        answer.set_exception(error)
