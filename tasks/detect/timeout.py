"""Call a function that may never return, and carry on without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

from cvat_flows.tasks.model.errors import CvatFlowsError

T = TypeVar("T")

MAX_CONSECUTIVE_TIMEOUTS = 5
"""More timeouts in a row mean that the function is at fault, not a few frames."""


class CallTimedOut(Exception):
    """A call took longer than its time limit."""


class FunctionHangs(CvatFlowsError):
    """So many calls in a row timed out that the next ones are expected to, too."""


class TimeLimitedCaller:
    """Calls functions one after the other in a separate thread, with a time limit for each call.

    Python cannot stop a thread. A thread that does not answer is abandoned, and the next call gets
    a new one. The threads are daemons, so they do not keep the process alive. Not thread-safe.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._timeouts_in_a_row = 0
        self._calls: SimpleQueue[_Call | None] | None = None

    def __call__(self, subject: str, function: Callable[..., T], *arguments: Any) -> T:
        """Return what the function returns, or raise what it raises.

        `subject` says in errors what the call was about.

        Raises CallTimedOut if the function does not answer in time. Raises FunctionHangs after
        MAX_CONSECUTIVE_TIMEOUTS; from then on the function is not called any more.
        """
        if self._timeouts_in_a_row >= MAX_CONSECUTIVE_TIMEOUTS:
            raise self._hangs(subject)
        if self._calls is None:
            self._calls = SimpleQueue()
            threading.Thread(
                target=_work, args=[self._calls], name="aa-function", daemon=True
            ).start()
        answer: Future[T] = Future()
        self._calls.put((copy_context(), answer, function, arguments))
        wait([answer], self.seconds)
        if answer.done():
            self._timeouts_in_a_row = 0
            return answer.result()
        self.close()
        self._timeouts_in_a_row += 1
        if self._timeouts_in_a_row >= MAX_CONSECUTIVE_TIMEOUTS:
            raise self._hangs(subject)
        raise CallTimedOut(f"no answer within {self.seconds:,g} s (--detect-timeout)")

    def _hangs(self, subject: str) -> FunctionHangs:
        return FunctionHangs(
            f"{self._timeouts_in_a_row} calls of the function in a row took longer than "
            f"{self.seconds:,g} s, the last on {subject}: it hangs, or needs a longer "
            "--detect-timeout. Detections so far are cached; run it again when the function "
            "answers"
        )

    def close(self) -> None:
        """Let the thread end after its current call."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


_Call = tuple[Context, Future[Any], Callable[..., Any], tuple[Any, ...]]


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while call := calls.get():
        _answer(*call)
        del call  # otherwise its images stay in memory until the next call


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
