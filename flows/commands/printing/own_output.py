"""Keep the standard output of a command for what the command itself prints.

A function may print, and so may its libraries, also in C and in programs that they start. All of
that goes to standard error, so that a program can read what the command prints.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Any, TextIO, cast


class _OwnOutput:
    """A text stream: standard output for the command, standard error for everybody else.

    A command prints in the main thread. Functions run in other threads, or inside `contained`.
    """

    def __init__(self, own: TextIO, other: TextIO) -> None:
        self._own = own
        self._other = other

    def __getattr__(self, name: str) -> Any:
        is_own = threading.current_thread() is threading.main_thread() and not _is_user_code()
        return getattr(self._own if is_own else self._other, name)


def _is_user_code() -> bool:
    # Not imported here, because that takes longer than `--help`.
    module = sys.modules.get("aa_functions.user_code")
    return module is not None and module.is_user_code()


def keep_output() -> None:
    """Send what others write to standard output to standard error, until the process ends.

    Does nothing if one of the two is closed.
    """
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
        stream = open(  # noqa: SIM115 (stays open)
            own,
            "w",
            encoding=sys.stdout.encoding,
            errors=sys.stdout.errors,
            buffering=1 if sys.stdout.isatty() else -1,
        )
        sys.stdout = cast(TextIO, _OwnOutput(stream, sys.stderr))
