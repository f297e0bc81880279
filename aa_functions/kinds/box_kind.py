"""What the kinds have in common whose networks find boxes: all but tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen

from aa_functions.kinds.kind import BoxOptions, ModelInfo
from aa_functions.kinds.select import select_boxes, select_final


@frozen(kw_only=True)
class BoxKind:
    """A part of a kind; see `aa_functions.kinds.kind.Kind`."""

    info: ModelInfo
    options: BoxOptions

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Which boxes are kept."""
        return self.options.fingerprint

    @property
    def score_rows(self) -> int | None:
        """One for each class, unless the network chooses the boxes itself."""
        return len(self.info.labels) if self.info.has_nms else None

    def select_rows(self, raw: np.ndarray, conf: float, *, rotated: bool = False) -> np.ndarray:
        """Return the boxes that are kept; see `select_boxes`."""
        if not self.info.has_nms:
            return select_final(raw, conf, self.options)
        return select_boxes(raw, len(self.info.labels), conf, self.options, rotated=rotated)
