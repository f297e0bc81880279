"""Detection models: rectangles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation

from aa_functions.kinds.box_kind import BoxKind
from aa_functions.kinds.geometry import boxes_to_image
from aa_functions.kinds.kind import ImageShapes, label_specs, rounded_score
from aa_functions.kinds.make import make_shape
from aa_functions.kinds.select import corners, select_final


@frozen(kw_only=True)
class Boxes(BoxKind):
    """The kind `detect`."""

    @property
    def specs(self) -> list[Any]:
        """One rectangle label for each class."""
        return label_specs(self.info, self.options.classes, "rectangle")

    def read(self, raw: Sequence[np.ndarray], shapes: ImageShapes, conf: float) -> np.ndarray:
        """Return rows (n, 6): corners in pixels of the image, confidence, class."""
        if self.info.is_rtdetr:
            return self._read_rtdetr(raw[0], shapes, conf)
        rows = self.select_rows(raw[0], conf)[:, :6]
        return np.concatenate([boxes_to_image(rows[:, :4], shapes), rows[:, 4:]], axis=1)

    def _read_rtdetr(self, raw: np.ndarray, shapes: ImageShapes, conf: float) -> np.ndarray:
        """Read boxes whose centres and sizes are shares of the image, which fills the input."""
        rows = select_final(raw, conf, self.options)
        height, width = shapes.original
        boxes = corners(rows[:, :4]) * np.array([width, height] * 2, np.float32)
        return np.concatenate([boxes, rows[:, 4:]], axis=1)

    def annotations(
        self, found: np.ndarray, conf: float, *, polygons: bool
    ) -> list[DetectionAnnotation]:
        """Return rectangles. Their corners are rounded to 0.01 pixel.

        That hides the differences of rounding between devices and batches.
        """
        return [
            make_shape(
                "rectangle",
                int(number),
                [round(value, 2) for value in box],
                score=rounded_score(score, conf),
            )
            for *box, score, number in found.tolist()
        ]
