"""Small pictures of a few of a run's frames, for its contact sheet or its preview page.

They are made while the images are in memory anyway. How many there are does not depend on how many
frames the run has.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from attrs import define, field, frozen
from PIL.Image import Image

from cvat_flows.tasks.fetch.images import LoadedFrame
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.reports.outlines import Outline
from cvat_flows.tasks.reports.thumbnails import SmallPicture, small_picture

_FETCHED_AT_ONCE = 4


@frozen(kw_only=True)
class Finding:
    """What became of a frame that is to be shown."""

    frame: Frame
    outlines: tuple[Outline, ...] = ()
    error: str = ""


@frozen(kw_only=True)
class Sample(Finding):
    """A frame that is shown."""

    picture: SmallPicture


@define(kw_only=True, eq=False)
class SamplePictures:
    """Keeps small pictures of at most `most` of the frames `numbers`, evenly spread over them."""

    numbers: Sequence[int] = field(default=(), repr=False)
    """The frames of the run in ascending order."""
    most: int = 12
    longest: int = 240
    """Pixels of the longer side."""
    most_bytes: int = 9_000
    """Of each picture."""
    _chosen: dict[int, int] = field(factory=dict, init=False)
    """For each part of the run the frame that stands for it."""
    _pictures: dict[int, SmallPicture] = field(factory=dict, init=False)
    _findings: dict[int, Finding] = field(factory=dict, init=False)
    _unseen: dict[int, Finding] = field(factory=dict, init=False)
    """By part, a frame that would do if its picture were fetched."""
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def note(self, loaded: Iterable[LoadedFrame]) -> None:
        """Make a small picture of those of the frames that stand for a part of the run."""
        for one in loaded:
            number, image = one.frame.number, one.image
            part = self._part_of(number)
            if image is None or part is None:
                continue
            with self._lock:
                if part in self._chosen:
                    continue
                self._chosen[part] = number
            self._make(number, image)

    def settle(self, outcome: Outcome, outlines: Callable[[Outcome], Sequence[Outline]]) -> None:
        """Add what became of a frame, if it is one of those that are shown."""
        number = outcome.frame.number
        part = self._part_of(number)
        if part is None or self._chosen.get(part, number) != number:
            return
        if part not in self._chosen and part in self._unseen:
            return
        found = Finding(
            frame=outcome.frame,
            outlines=tuple(outlines(outcome)),
            error=outcome.failure.error if outcome.failure else "",
        )
        if part in self._chosen:
            self._findings[number] = found
        else:
            self._unseen[part] = found

    def fill(self, fetch: Callable[[Frame], Image | None], *, patience: float) -> None:
        """Fetch pictures for parts of the run of which no image was in memory.

        Begins none after `patience` seconds.
        """
        deadline = time.monotonic() + patience
        missing = [found for part, found in self._unseen.items() if part not in self._chosen]

        def add(found: Finding) -> None:
            image = fetch(found.frame) if time.monotonic() < deadline else None
            if image is not None:
                self._findings[found.frame.number] = found
                self._make(found.frame.number, image)

        if missing:
            with ThreadPoolExecutor(_FETCHED_AT_ONCE, thread_name_prefix="picture") as pool:
                list(pool.map(add, missing))

    @property
    def samples(self) -> list[Sample]:
        """The frames with a picture whose outcome is known, in order of frame number."""
        return [
            Sample(frame=found.frame, outlines=found.outlines, error=found.error, picture=picture)
            for number, found in sorted(self._findings.items())
            if (picture := self._pictures.get(number)) is not None
        ]

    def _make(self, number: int, image: Image) -> None:
        try:
            picture = small_picture(image, longest=self.longest, most_bytes=self.most_bytes)
        except Exception:
            # A mode that Pillow cannot convert. The frame is annotated all the same.
            return
        self._pictures[number] = picture

    def _part_of(self, number: int) -> int | None:
        position = bisect_left(self.numbers, number)
        if position >= len(self.numbers) or self.numbers[position] != number:
            return None
        return position * min(self.most, len(self.numbers)) // len(self.numbers)
