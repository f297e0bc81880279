"""Classification models: tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation, tag

from aa_functions.kinds.kind import ImageShapes, ModelInfo, label_specs, rounded_score


@frozen(kw_only=True)
class Tags:
    """The kind `classify`."""

    info: ModelInfo
    classes: tuple[int, ...] | None
    top_k: int

    @property
    def specs(self) -> list[Any]:
        """One tag label for each class."""
        return label_specs(self.info, self.classes, "tag")

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Which classes there are, and how many."""
        return {"classes": self.classes, "top_k": self.top_k}

    @property
    def score_rows(self) -> int | None:
        """None: there are no boxes."""
        return None

    def read(self, raw: Sequence[np.ndarray], shapes: ImageShapes, conf: float) -> np.ndarray:
        """Return rows (n, 2): the best classes that have enough confidence, and it."""
        scores = raw[0]
        numbers = np.argsort(-scores, kind="stable")
        if self.classes is not None:
            numbers = numbers[np.isin(numbers, self.classes)]
        numbers = numbers[: self.top_k]
        numbers = numbers[scores[numbers] >= conf]
        return np.stack([scores[numbers].astype(np.float64), numbers], axis=1)

    def annotations(
        self, found: np.ndarray, conf: float, *, polygons: bool
    ) -> list[DetectionAnnotation]:
        """Return a tag for each class."""
        return [
            tag(int(number), score=rounded_score(score, conf)) for score, number in found.tolist()
        ]
