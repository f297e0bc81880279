"""The interface of a kind of model, and the values that kinds take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from attrs import asdict, field, frozen
from cvat_sdk.auto_annotation import DetectionAnnotation, label_spec


@frozen(kw_only=True)
class ModelInfo:
    """What a checkpoint says about its model."""

    name: str
    """File name of the checkpoint."""
    task: str
    """Ultralytics' word for the kind: `detect`, `obb`, `segment`, `pose`, `classify`, ..."""
    labels: Mapping[int, str]
    """Names of the classes by number."""
    has_nms: bool = True
    """Whether its raw boxes overlap, so that non-maximum suppression must choose among them."""
    is_rtdetr: bool = False
    agnostic_nms: bool = False
    """Whether `predict` drops overlapping boxes of different classes unless told not to."""
    keypoint_shape: tuple[int, int] | None = None
    """Number of keypoints, and of values for each: x, y, and perhaps a confidence."""
    keypoint_names: Mapping[int, Sequence[str]] = field(factory=dict)
    """Names of the keypoints by class; empty if the checkpoint has none."""


@frozen(kw_only=True)
class BoxOptions:
    """Which boxes to keep; see `aa_functions.yolo.create`."""

    iou: float
    max_det: int
    classes: tuple[int, ...] | None
    agnostic_nms: bool

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)


@frozen(kw_only=True)
class ImageShapes:
    """Heights and widths in pixels."""

    boxed: tuple[int, int]
    """Of the network's input."""
    original: tuple[int, int]


class Kind(Protocol):
    """A kind of model. Several threads may use it at the same time."""

    @property
    def specs(self) -> list[Any]:
        """The labels for the function's spec. Their ids are the class numbers."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """The options that decide the results."""
        ...

    @property
    def score_rows(self) -> int | None:
        """The number of rows of scores in the first raw output; None if it has no such rows."""
        ...

    def read(self, raw: Sequence[np.ndarray], shapes: ImageShapes, conf: float) -> Any:
        """Read the network's raw outputs for one image.

        Args:
            raw: The outputs, without the dimension of the batch.
            shapes: Of the image.
            conf: Minimum confidence, 0 to 1.

        Returns:
            What `annotations` takes.
        """
        ...

    def annotations(self, found: Any, conf: float, *, polygons: bool) -> list[DetectionAnnotation]:
        """Make annotations in pixels of the image, sorted by falling score.

        Args:
            found: What `read` returned.
            conf: The same as for `read`.
            polygons: Whether to return polygons in place of masks.
        """
        ...


def label_specs(info: ModelInfo, classes: Sequence[int] | None, type_: str) -> list[Any]:
    """Return a label of this type for each chosen class."""
    return [
        label_spec(name, number, type=type_)
        for number, name in info.labels.items()
        if classes is None or number in classes
    ]


def rounded_score(score: float, conf: float) -> float:
    """Return a score with four digits, but never below the minimum confidence."""
    return max(round(score, 4), conf)
