"""Keep Python's garbage collector out of the way: while modules are imported, and during a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_frozen_here = False
"""Whether `freeze_modules` was called. Otherwise frozen objects mean that the program manages the
collector itself."""


@contextmanager
def pause_gc() -> Iterator[None]:
    """Collect no garbage inside the block, which imports modules or loads a model.

    Imports make so many objects that the collector would look at all of them again and again, which
    takes an eighth of the time of the imports. Next to none of it is garbage.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def freeze_modules() -> None:
    """Exclude the objects that exist now from garbage collection until a run has ended.

    For a process of our own, right after its imports.
    """
    global _frozen_here
    _frozen_here = True
    gc.freeze()


@contextmanager
def freeze_gc() -> Iterator[None]:
    """Exclude the objects that exist now from garbage collection.

    The modules of Prefect and torch hold so many objects that a full collection stops all threads
    for 0.2 to 0.4 s.
    """
    if gc.get_freeze_count() and not _frozen_here:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
