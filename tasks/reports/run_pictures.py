"""The pictures that a run keeps for its reports: of failed frames and of samples."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from attrs import define, evolve, field
from cvat_sdk import Client
from PIL.Image import Image

from cvat_flows.tasks.cvat.client.errors import CvatUnavailable
from cvat_flows.tasks.cvat.client.http import get
from cvat_flows.tasks.cvat.client.retry import DEFAULT_POLICY
from cvat_flows.tasks.fetch.images import LoadedFrame, decode_image
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.annotations import Annotation, Detection
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.reports.failed_frames import FailedFrames
from cvat_flows.tasks.reports.frame_page import Reproduction
from cvat_flows.tasks.reports.pictures.outlines import Outline, outlines_of
from cvat_flows.tasks.reports.pictures.samples import SamplePictures
from cvat_flows.tasks.reports.pictures.thumbnails import PictureSize, draw_failure

ROW_SIZE = PictureSize(max_side=112, max_bytes=1_700)
"""Of a picture in the table of failed frames."""
PAGE_SIZE = PictureSize(max_side=320, max_bytes=4_500)
"""Of a picture on the page of a failed frame."""
_MAX_CONSECUTIVE_MISSES = 3
"""After CVAT has not delivered this many images in a row, no more are requested."""


@define(kw_only=True, eq=False)
class RunPictures:
    """Pictures of one run. A picture that cannot be made raises nothing: it must not fail a run."""

    client: Client
    media: TaskMedia
    match: SpecMatch
    labels: tuple[Label, ...] = field(repr=False)
    reproduction: Reproduction
    samples: SamplePictures = field(factory=SamplePictures)
    failed: FailedFrames = field(factory=FailedFrames)
    _misses: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def add_images(self, frames: Iterable[LoadedFrame]) -> None:
        """Make pictures of samples while their images are in memory."""
        self.samples.add_images(frames)

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Add the outcomes of samples."""
        for outcome in outcomes:
            self.samples.add_outcome(outcome, self.outlines)

    def fetch_missing(self, *, timeout: float) -> None:
        """Fetch images of samples whose detections were cached, for at most `timeout` seconds."""
        self.samples.fetch_missing(self._image, timeout=timeout)

    def outlines(self, outcome: Outcome) -> list[Outline]:
        """Return the shapes of a frame, with names of the task's labels.

        The detections of a failed frame can have any value, so nothing is assumed about them.
        """
        failure = outcome.failure
        if outcome.detections is not None:
            at_fault = failure.annotation_index if failure and failure.step != "upload" else None
            return outlines_of(self._named(outcome.detections), at_fault=at_fault)
        names = {label.id: label.name for label in self.labels}
        shapes = [(a, names.get(a.label_id, "?")) for a in outcome.annotations or ()]
        at_fault = failure.annotation_index if failure else None
        return outlines_of(shapes, at_fault=at_fault)

    def draw_failure(self, outcome: Outcome) -> tuple[bytes, bytes] | None:
        """Make two JPEGs of a failed frame with its shapes: for its row and for its page.

        Returns None if there is no image, or if CVAT has not delivered several images in a row.
        """
        if outcome.failure is None or outcome.failure.step == "fetch":
            return None
        image = self._image(outcome.frame)
        if image is None:
            return None
        try:
            outlines = self.outlines(outcome)
            return draw_failure(image, outlines, ROW_SIZE), draw_failure(image, outlines, PAGE_SIZE)
        except Exception:  # the image cannot be converted, or a shape cannot be drawn
            return None

    def _image(self, frame: Frame) -> Image | None:
        if self._misses >= _MAX_CONSECUTIVE_MISSES:
            return None
        try:
            image = decode_image(self._download(frame), self.media.image_sizes(frame))
        except CvatUnavailable:
            with self._lock:
                self._misses += 1
            return None
        except CvatFlowsError:
            return None
        self._misses = 0
        return image

    def _download(self, frame: Frame) -> bytes:
        # One attempt: the picture is optional, and CVAT may have a problem at the moment.
        return get(
            self.client,
            self.media.data_path,
            subject=f"frame {frame.number} of task {self.media.task_id}",
            policy=evolve(DEFAULT_POLICY, max_attempts=1),
            type="frame",
            number=frame.number,
            quality="original",
        ).body

    def _named(
        self, detections: Iterable[Detection]
    ) -> Iterator[tuple[Detection | Annotation, str]]:
        for detection in detections:
            try:
                label = self.match.labels.get(detection.label_id)
                name = label.task_name if label else f"label {detection.label_id!r}"[:40]
            except Exception:  # a label id can be any object: unhashable, or without a repr
                name = "?"
            yield detection, name
