"""What a run keeps to show: pictures of failed frames and of a few others, with their shapes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from attrs import define, evolve, field
from cvat_sdk import Client
from PIL.Image import Image

from cvat_flows.tasks.cvat.errors import CvatUnavailable
from cvat_flows.tasks.cvat.http import get
from cvat_flows.tasks.cvat.retry import DEFAULT_POLICY
from cvat_flows.tasks.fetch.images import LoadedFrame, decode_image
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.annotations import Annotation, Detection
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.reports.failed_frames import PICTURE, THUMBNAIL, FailedFrames, Reproduction
from cvat_flows.tasks.reports.outlines import Outline, outlines_of
from cvat_flows.tasks.reports.samples import SamplePictures
from cvat_flows.tasks.reports.thumbnails import picture_of_failure

_GIVEN_UP_AFTER = 3
"""Pictures in a row that CVAT did not give, until no more are asked for."""


@define(kw_only=True, eq=False)
class RunPictures:
    """Pictures of one run. Nothing here raises because of a picture: a run must not fail by it."""

    client: Client
    media: TaskMedia
    match: SpecMatch
    labels: tuple[Label, ...] = field(repr=False)
    reproduction: Reproduction
    samples: SamplePictures = field(factory=SamplePictures)
    failed: FailedFrames = field(factory=FailedFrames)
    _missed: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def note(self, loaded: Iterable[LoadedFrame]) -> None:
        """Look at a batch's images while they are there."""
        self.samples.note(loaded)

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Learn what became of a batch's frames."""
        for outcome in outcomes:
            self.samples.settle(outcome, self.outlines)

    def fill(self, *, patience: float) -> None:
        """Fetch what is missing for the pictures of frames whose detections were cached."""
        self.samples.fill(self._image, patience=patience)

    def outlines(self, outcome: Outcome) -> list[Outline]:
        """What the function found on a frame, by the names of the task's labels.

        Nothing is known of the detections of a failed frame: they are taken as they come.
        """
        failure = outcome.failure
        if outcome.detections is not None:
            at_fault = failure.annotation_index if failure and failure.step != "upload" else None
            return outlines_of(self._named(outcome.detections), at_fault=at_fault)
        names = {label.id: label.name for label in self.labels}
        shapes = [(a, names.get(a.label_id, "?")) for a in outcome.annotations or ()]
        at_fault = failure.annotation_index if failure else None
        return outlines_of(shapes, at_fault=at_fault)

    def of_failed(self, outcome: Outcome) -> tuple[bytes, bytes] | None:
        """A small picture of a failed frame and a larger one, with its shapes (JPEG).

        None if the image cannot be had, or CVAT has refused too many of them.
        """
        if outcome.failure is None or outcome.failure.step == "fetch":
            return None
        image = self._image(outcome.frame)
        if image is None:
            return None
        try:
            outlines = self.outlines(outcome)
            small, large = (
                picture_of_failure(
                    image, outlines, longest=size["longest"], most_bytes=size["most_bytes"]
                )
                for size in (THUMBNAIL, PICTURE)
            )
        except Exception:  # an image of a kind that cannot be shown, a shape that cannot be drawn
            return None
        return small, large

    def _image(self, frame: Frame) -> Image | None:
        if self._missed >= _GIVEN_UP_AFTER:
            return None
        try:
            image = decode_image(self._content(frame))
        except CvatUnavailable:
            with self._lock:
                self._missed += 1
            return None
        except CvatFlowsError:
            return None
        self._missed = 0
        return image

    def _content(self, frame: Frame) -> bytes:
        # One attempt: the picture is a service to the reader, CVAT may have other troubles now.
        return get(
            self.client,
            f"/api/tasks/{self.media.task_id}/data",
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
            except Exception:  # a label id can be anything, also what cannot be hashed or shown
                name = "?"
            yield detection, name
