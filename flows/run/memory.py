"""Keep Python's garbage collector fast during a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def freeze_gc() -> Iterator[None]:
    """Exclude the objects that exist now from garbage collection.

    The modules of Prefect and torch hold so many objects that a full collection stops all threads
    for 0.2 to 0.4 s.
    """
    if gc.get_freeze_count():  # The program manages the collector itself.
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
