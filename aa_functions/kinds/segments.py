"""Segmentation models: masks, or polygons where the context asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation

from aa_functions.kinds.box_kind import BoxKind
from aa_functions.kinds.geometry import boxes_to_image
from aa_functions.kinds.kind import ImageShapes, label_specs, rounded_score
from aa_functions.kinds.make import make_shape
from aa_functions.kinds.mask_logits import Bitmap, cut_out
from aa_functions.mask_codec import encode_bitmap
from aa_functions.outlines import mask_to_polygons

Segment = tuple[int, float, Bitmap]
"""Class, confidence and mask."""


@frozen(kw_only=True)
class Segments(BoxKind):
    """The kind `segment`."""

    polygon_tolerance: float

    @property
    def specs(self) -> list[Any]:
        """One mask label for each class."""
        return label_specs(self.info, self.options.classes, "mask")

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Which boxes are kept, and how polygons are simplified."""
        return {**self.options.fingerprint, "polygon_tolerance": self.polygon_tolerance}

    def read(self, raw: Sequence[np.ndarray], shapes: ImageShapes, conf: float) -> list[Segment]:
        """Return the objects whose mask has a pixel in their box."""
        rows = self.select_rows(raw[0], conf)
        boxes = boxes_to_image(rows[:, :4], shapes)
        found = []
        for box, row in zip(boxes, rows, strict=True):
            bitmap = cut_out(raw[1], row[6:], box, shapes)
            if bitmap is not None:
                found.append((int(row[5]), float(row[4]), bitmap))
        return found

    def annotations(
        self, found: Sequence[Segment], conf: float, *, polygons: bool
    ) -> list[DetectionAnnotation]:
        """Return masks, or polygons: one for each island, those of one object in a group."""
        if polygons:
            return list(self._polygons(found, conf))
        return [
            make_shape(
                "mask",
                number,
                encode_bitmap(bitmap.pixels, bitmap.left, bitmap.top) or [],
                score=rounded_score(score, conf),
            )
            for number, score, bitmap in found
        ]

    def _polygons(self, found: Sequence[Segment], conf: float) -> Iterator[Any]:
        groups = 0
        for number, score, bitmap in found:
            corner = np.array([bitmap.left, bitmap.top])
            islands = mask_to_polygons(bitmap.pixels, self.polygon_tolerance)
            groups += len(islands) > 1
            group = {"group": groups} if len(islands) > 1 else {}
            for outline in islands:
                points = (outline + corner).ravel().tolist()
                yield make_shape(
                    "polygon", number, points, score=rounded_score(score, conf), **group
                )
