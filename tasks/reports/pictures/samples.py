"""Small pictures of some of a run's frames, for its contact sheet or its preview page.

They are made while the images are in memory anyway. Their number does not depend on the number of
frames in the run.
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
from cvat_flows.tasks.reports.pictures.outlines import Outline
from cvat_flows.tasks.reports.pictures.thumbnails import PictureSize, Thumbnail, make_thumbnail

_DOWNLOAD_THREADS = 4


@frozen(kw_only=True)
class SampleOutcome:
    """What happened to a sample frame."""

    frame: Frame
    outlines: tuple[Outline, ...] = ()
    error: str = ""


@frozen(kw_only=True)
class Sample(SampleOutcome):
    """A sample frame with its picture."""

    picture: Thumbnail


@define(kw_only=True, eq=False)
class SamplePictures:
    """Keeps small pictures of at most `max_count` frames, evenly spread over the run.

    The run is divided into `max_count` parts, and each part has one sample.
    """

    numbers: Sequence[int] = field(default=(), repr=False)
    """Frame numbers of the run in ascending order."""
    max_count: int = 12
    size: PictureSize = field(default=PictureSize(max_side=240, max_bytes=9_000))
    _chosen: dict[int, int] = field(factory=dict, init=False)
    """By part, the number of its sample."""
    _pictures: dict[int, Thumbnail] = field(factory=dict, init=False)
    """By frame number."""
    _outcomes: dict[int, SampleOutcome] = field(factory=dict, init=False)
    """By frame number."""
    _without_image: dict[int, SampleOutcome] = field(factory=dict, init=False)
    """By part, a frame that can become its sample if its image is downloaded."""
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def add_images(self, frames: Iterable[LoadedFrame]) -> None:
        """Make the pictures of those frames that become samples."""
        for loaded in frames:
            number, image = loaded.frame.number, loaded.image
            part = self._part_of(number)
            if image is None or part is None:
                continue
            with self._lock:
                if part in self._chosen:
                    continue
                self._chosen[part] = number
            self._add_picture(number, image)

    def add_outcome(
        self, outcome: Outcome, outlines: Callable[[Outcome], Sequence[Outline]]
    ) -> None:
        """Add the outcome of a frame, if it is a sample."""
        number = outcome.frame.number
        part = self._part_of(number)
        if part is None or self._chosen.get(part, number) != number:
            return
        if part not in self._chosen and part in self._without_image:
            return
        found = SampleOutcome(
            frame=outcome.frame,
            outlines=tuple(outlines(outcome)),
            error=outcome.failure.error if outcome.failure else "",
        )
        if part in self._chosen:
            self._outcomes[number] = found
        else:
            self._without_image[part] = found

    def fetch_missing(self, fetch: Callable[[Frame], Image | None], *, timeout: float) -> None:
        """Fetch images for the parts of the run without one.

        After `timeout` seconds no other fetch is begun.
        """
        deadline = time.monotonic() + timeout
        missing = [one for part, one in self._without_image.items() if part not in self._chosen]

        def add(outcome: SampleOutcome) -> None:
            image = fetch(outcome.frame) if time.monotonic() < deadline else None
            if image is not None:
                self._outcomes[outcome.frame.number] = outcome
                self._add_picture(outcome.frame.number, image)

        if missing:
            with ThreadPoolExecutor(_DOWNLOAD_THREADS, thread_name_prefix="picture") as pool:
                list(pool.map(add, missing))

    @property
    def samples(self) -> list[Sample]:
        """The samples with a picture and an outcome, in order of frame number."""
        return [
            Sample(frame=found.frame, outlines=found.outlines, error=found.error, picture=picture)
            for number, found in sorted(self._outcomes.items())
            if (picture := self._pictures.get(number)) is not None
        ]

    def _add_picture(self, number: int, image: Image) -> None:
        try:
            picture = make_thumbnail(image, self.size)
        except Exception:
            # Pillow cannot convert the image's mode. The frame is annotated all the same.
            return
        self._pictures[number] = picture

    def _part_of(self, number: int) -> int | None:
        position = bisect_left(self.numbers, number)
        if position >= len(self.numbers) or self.numbers[position] != number:
            return None
        return position * min(self.max_count, len(self.numbers)) // len(self.numbers)
