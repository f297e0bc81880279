"""Objects that a caller in this process passes to the flow.

A client, a function object or a progress bar cannot be flow parameters: Prefect stores those.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Protocol

from attrs import field, frozen
from cvat_sdk import Client

from aa_functions.reference import LoadedFunction
from cvat_flows.tasks.model.media import TaskMedia


class Progress(Protocol):
    """Receives the progress of a run: what it does at first, then the frames."""

    def phase(self, text: str) -> None: ...
    def start(self, total: int, description: str) -> None: ...
    def advance(self, frames: int) -> None: ...
    def finish(self) -> None: ...


class NoProgress:
    """Ignores the progress."""

    def phase(self, text: str) -> None:
        return

    def start(self, total: int, description: str) -> None:
        return

    def advance(self, frames: int) -> None:
        return

    def finish(self) -> None:
        return


@frozen(kw_only=True)
class LiveInputs:
    """Objects and settings that exist only in the caller's process."""

    client: Client | None = None
    function: LoadedFunction | None = None
    progress: Progress = field(factory=NoProgress)
    begin: float = field(factory=time.monotonic)
    """When the caller began, by `time.monotonic()`."""
    strict: bool = False
    """Raise the original exception of the first failed frame, as the SDK's driver does."""
    include_done: bool = False
    """Also process frames that this function has annotated before."""
    max_frames: int | None = None
    """If the parameters name no frames, process only this many from the start."""

    def default_frames(self, media: TaskMedia, jobs: Collection[int] | None) -> str | None:
        """Return the frames to process if the parameters name none. None: all."""
        if self.max_frames is None:
            return None
        numbers = (
            n for n in range(media.size) if jobs is None or media.frame(n, jobs=jobs).job_ids
        )
        return ",".join(map(str, islice(numbers, self.max_frames))) or None


_live: ContextVar[LiveInputs | None] = ContextVar("live_inputs", default=None)


def live_inputs() -> LiveInputs:
    """Return what the caller passed. A deployment's run has the defaults."""
    return _live.get() or LiveInputs()


@contextmanager
def use_live_inputs(inputs: LiveInputs) -> Iterator[None]:
    """Pass `inputs` to the flows called inside this context."""
    token = _live.set(inputs)
    try:
        yield
    finally:
        _live.reset(token)
