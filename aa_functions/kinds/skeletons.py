"""Pose models: skeletons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation, keypoint_spec, skeleton_label_spec

from aa_functions.kinds.box_kind import BoxKind
from aa_functions.kinds.geometry import Letterbox, clip_points
from aa_functions.kinds.kind import ImageShapes, rounded_score
from aa_functions.kinds.make import make_keypoint, make_skeleton


@frozen(kw_only=True)
class Skeletons(BoxKind):
    """The kind `pose`. The ids of the keypoints are their numbers in the model."""

    names: Mapping[int, Sequence[str]]
    """Names of the keypoints of each class."""
    keypoint_conf: float

    @property
    def specs(self) -> list[Any]:
        """One skeleton label for each class."""
        return [
            skeleton_label_spec(
                label,
                number,
                [keypoint_spec(name, index) for index, name in enumerate(self.names[number])],
            )
            for number, label in self.info.labels.items()
            if self.options.classes is None or number in self.options.classes
        ]

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Which boxes and keypoints are kept; the names, because labels are matched by them."""
        return {
            **self.options.fingerprint,
            "keypoint_conf": self.keypoint_conf,
            "keypoints": {str(number): list(names) for number, names in self.names.items()},
        }

    def read(
        self, raw: Sequence[np.ndarray], shapes: ImageShapes, conf: float
    ) -> list[tuple[int, float, np.ndarray]]:
        """Return class, confidence and keypoints of each skeleton.

        The keypoints (count, 2 or 3) are x and y in pixels of the image, and a confidence if the
        model has one.
        """
        rows = self.select_rows(raw[0], conf)
        assert self.info.keypoint_shape is not None
        points = rows[:, 6:].reshape(len(rows), *self.info.keypoint_shape)
        moved = clip_points(Letterbox.of(shapes).to_image(points[..., :2]), shapes.original)
        keypoints = np.concatenate([moved, points[..., 2:]], axis=2)
        return [
            (int(number), float(score), own)
            for (score, number), own in zip(rows[:, 4:6], keypoints, strict=True)
        ]

    def annotations(
        self, found: Sequence[tuple[int, float, np.ndarray]], conf: float, *, polygons: bool
    ) -> list[DetectionAnnotation]:
        """Return skeletons with all their keypoints; those of low confidence are `outside`.

        A skeleton without a visible keypoint is left out.
        """
        return [
            make_skeleton(
                number,
                [self._keypoint(index, *values) for index, values in enumerate(points.tolist())],
                score=rounded_score(score, conf),
            )
            for number, score, points in found
            if points.shape[1] < 3 or (points[:, 2] >= self.keypoint_conf).any()
        ]

    def _keypoint(self, index: int, x: float, y: float, score: float | None = None) -> Any:
        points = [round(x, 2), round(y, 2)]
        if score is None:
            return make_keypoint(index, points)
        outside = score < self.keypoint_conf
        return make_keypoint(index, points, outside=outside, score=min(round(score, 4), 1.0))
