"""Models for oriented boxes: rotated rectangles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation

from aa_functions.kinds.box_kind import BoxKind
from aa_functions.kinds.geometry import Letterbox
from aa_functions.kinds.kind import ImageShapes, label_specs, rounded_score
from aa_functions.kinds.make import make_shape


@frozen(kw_only=True)
class RotatedBoxes(BoxKind):
    """The kind `obb`."""

    @property
    def specs(self) -> list[Any]:
        """One rectangle label for each class."""
        return label_specs(self.info, self.options.classes, "rectangle")

    def read(self, raw: Sequence[np.ndarray], shapes: ImageShapes, conf: float) -> np.ndarray:
        """Return rows (n, 7): centre and size in pixels of the image, confidence, class, radians.

        Boxes are not clipped: a corner may lie outside the image.
        """
        rows = self.select_rows(raw[0], conf, rotated=True)
        box = Letterbox.of(shapes)
        gain = np.array([box.gain_x, box.gain_y], np.float32)
        return np.concatenate([box.to_image(rows[:, :2]), rows[:, 2:4] / gain, rows[:, 4:]], axis=1)

    def annotations(
        self, found: np.ndarray, conf: float, *, polygons: bool
    ) -> list[DetectionAnnotation]:
        """Return rectangles with a rotation in degrees, clockwise, from 0 to below 360."""
        return [
            make_shape(
                "rectangle",
                int(number),
                [
                    round(value, 2)
                    for value in (
                        x - width / 2,
                        y - height / 2,
                        x + width / 2,
                        y + height / 2,
                    )
                ],
                rotation=round(math.degrees(angle), 2) % 360,
                score=rounded_score(score, conf),
            )
            for x, y, width, height, score, number, angle in found.tolist()
        ]
