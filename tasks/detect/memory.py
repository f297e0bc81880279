"""Recognize errors that mean "out of memory", and free memory after them."""

from __future__ import annotations

import sys
from contextlib import suppress

from aa_functions.errors import text_of


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether fewer images per call may help.

    Recognizes the errors of Python, torch and other runtimes.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    message = text_of(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in message
        for words in ("out of memory", "can't allocate memory", "failed to allocate memory")
    )


def free_memory() -> None:
    """Release the GPU memory that torch keeps for reuse, if torch is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None:
        with suppress(Exception):
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
