"""Live objects that a caller in this process hands to the flow.

A client, a function object or a progress bar cannot be flow parameters: Prefect stores those.
"""

from __future__ import annotations

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
    """Told how far a run is, in frames."""

    def start(self, total: int, description: str) -> None: ...
    def advance(self, frames: int) -> None: ...
    def finish(self) -> None: ...


class NoProgress:
    """Progress that nobody looks at."""

    def start(self, total: int, description: str) -> None:
        return

    def advance(self, frames: int) -> None:
        return

    def finish(self) -> None:
        return


@frozen(kw_only=True)
class LiveInputs:
    """What the caller has already."""

    client: Client | None = None
    function: LoadedFunction | None = None
    progress: Progress = field(factory=NoProgress)
    strict: bool = False
    """Let the exception of the first frame at fault out as it is (the SDK driver's way)."""
    look_at_done: bool = False
    """Look at frames that have been done, too."""
    at_most: int | None = None
    """If no frames are named, only the first so many."""

    def first_frames(self, media: TaskMedia, jobs: Collection[int] | None) -> str | None:
        """The frames to annotate if none are named; None for all."""
        if self.at_most is None:
            return None
        wanted = None if jobs is None else frozenset(jobs)
        numbers = (
            n for n in range(media.size) if wanted is None or wanted & {*media.job_ids_of(n)}
        )
        return ",".join(map(str, islice(numbers, self.at_most))) or None


_live: ContextVar[LiveInputs | None] = ContextVar("live_inputs", default=None)


def live_inputs() -> LiveInputs:
    """What the caller handed over; nothing, if the run was started by a deployment."""
    return _live.get() or LiveInputs()


@contextmanager
def hand_over(inputs: LiveInputs) -> Iterator[None]:
    """Make `inputs` known to flows that are called inside."""
    token = _live.set(inputs)
    try:
        yield
    finally:
        _live.reset(token)
