"""Run an exported network without torch and Ultralytics, whose import takes seconds.

The boxes are those of `Predictor` with the same network. A network that NetworkFacts cannot
describe runs in `Predictor`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image

from aa_functions.backends.facts import NetworkFacts
from aa_functions.backends.letterbox import BoxedImage, box_image, boxes_in_image
from aa_functions.backends.nms import choose_boxes
from aa_functions.backends.predictor import PredictorOptions


class ExportedPredictor:
    """Like `Predictor`. One thread at a time may use it."""

    uses_torch = False

    def __init__(
        self,
        facts: NetworkFacts,
        options: PredictorOptions,
        forward: Callable[[Sequence[np.ndarray]], np.ndarray],
    ) -> None:
        self._facts = facts
        self._size = facts.input_size(options.imgsz)
        self._options = options
        self._forward = forward

    def prepare(self, image: PIL.Image.Image) -> BoxedImage:
        """Convert and letterbox an image of any mode. Any thread may call it."""
        return box_image(image, self._size, self._facts.stride)

    def run(self, prepared: Sequence[BoxedImage], conf: float) -> list[np.ndarray]:
        """Detect on images whose boxed shapes are equal; see `Predictor.run`."""
        options = self._options
        found = []
        for image, raw in zip(prepared, self._forward([p.boxed for p in prepared]), strict=True):
            rows = choose_boxes(
                raw,
                conf=conf,
                iou=options.iou,
                max_det=options.max_det,
                classes=options.classes,
                agnostic=options.agnostic_nms,
            )
            rows[:, :4] = boxes_in_image(rows[:, :4], image)
            found.append(rows)
        return found
