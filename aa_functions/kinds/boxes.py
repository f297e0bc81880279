"""Detection models: rectangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation

from aa_functions.kinds.geometry import boxes_to_image
from aa_functions.kinds.kind import BoxOptions, ImageShapes, ModelInfo, label_specs, rounded_score
from aa_functions.kinds.make import make_shape
from aa_functions.kinds.select import corners, select_boxes, select_final


@frozen(kw_only=True)
class Boxes:
    """The kind `detect`."""

    info: ModelInfo
    options: BoxOptions

    @property
    def specs(self) -> list[Any]:
        """One rectangle label for each class."""
        return label_specs(self.info, self.options.classes, "rectangle")

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Which boxes are kept."""
        return self.options.fingerprint

    @property
    def score_rows(self) -> int | None:
        """One for each class, unless the network chooses the boxes itself."""
        return len(self.info.labels) if self.info.has_nms else None

    def read(self, raw: Sequence[np.ndarray], shapes: ImageShapes, conf: float) -> np.ndarray:
        """Return rows (n, 6): corners in pixels of the image, confidence, class."""
        if self.info.is_rtdetr:
            return self._read_rtdetr(raw[0], shapes, conf)
        rows = select_rows(raw[0], self.info, conf, self.options)[:, :6]
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


def select_rows(
    raw: np.ndarray, info: ModelInfo, conf: float, options: BoxOptions, *, rotated: bool = False
) -> np.ndarray:
    """Return the boxes that are kept; see `select_boxes`."""
    if not info.has_nms:
        return select_final(raw, conf, options)
    return select_boxes(raw, len(info.labels), conf, options, rotated=rotated)
