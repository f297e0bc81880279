"""Run the code of a function's author, which may raise anything.

`quit()` and `sys.exit()` raise SystemExit, which is not an `Exception`: it would pass every handler
and end the whole run. In user code it is an error like any other.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from aa_functions.errors import FunctionError, text_of

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Their handlers raise exceptions in the main thread: KeyboardInterrupt, and Prefect's own."""


_depth = threading.local()


def is_user_code() -> bool:
    """Return whether this thread is inside `contained`."""
    return getattr(_depth, "value", 0) > 0


class FunctionExit(FunctionError):
    """A function raised an exception that ends programs. Its cause is that exception."""


class contained:
    """Context manager that turns what is not an `Exception` into a FunctionExit.

    What a signal raises, such as the KeyboardInterrupt of Ctrl-C, is passed on. Signals arrive in
    the main thread only.

    >>> try:
    ...     with contained():
    ...         raise SystemExit
    ... except FunctionExit as error:
    ...     print(error)
    SystemExit was raised, which ends a program: raise another exception instead
    """

    def __init__(self) -> None:
        self._signalled = False
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        _depth.value = getattr(_depth, "value", 0) + 1
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._on_signal)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _depth.value -= 1
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._on_signal:  # the code may have set its own
                signal.signal(number, handler)
        if error is None or isinstance(error, Exception) or self._signalled:
            return
        name, text = type(error).__name__, text_of(error)
        raised = name if text in ("", "None") else f"{name} ({text})"  # quit() says None
        raise FunctionExit(
            f"{raised} was raised, which ends a program: raise another exception instead"
        ) from error

    def _on_signal(self, number: int, frame: FrameType | None) -> Any:
        self._signalled = True
        return self._handlers[signal.Signals(number)](number, frame)
