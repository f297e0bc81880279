"""Run an exported network without torch and Ultralytics, whose import takes seconds.

The results are those of `Predictor` with the same network. A network that NetworkFacts cannot
describe runs in `Predictor`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import PIL.Image

from aa_functions.backends.facts import NetworkFacts
from aa_functions.backends.letterbox import BoxedImage, box_image, crop_image
from aa_functions.backends.predictor import PredictorOptions
from aa_functions.kinds.kind import ImageShapes, Kind


class ExportedPredictor:
    """Like `Predictor`. One thread at a time may use it."""

    uses_torch = False

    def __init__(
        self,
        facts: NetworkFacts,
        kind: Kind,
        options: PredictorOptions,
        forward: Callable[[Sequence[np.ndarray]], tuple[np.ndarray, ...]],
    ) -> None:
        self._facts = facts
        self._size = facts.input_size(options.imgsz)
        self._kind = kind
        self._forward = forward

    def prepare(self, image: PIL.Image.Image) -> BoxedImage:
        """Convert an image of any mode, and letterbox or crop it. Any thread may call it."""
        if self._facts.info.task == "classify":
            return crop_image(image, self._size)
        return box_image(image, self._size, self._facts.stride)

    def run(self, prepared: Sequence[BoxedImage], conf: float) -> list[Any]:
        """Detect on images whose boxed shapes are equal; see `Predictor.run`."""
        outputs = self._forward([image.boxed for image in prepared])
        return [
            self._kind.read(
                [output[index] for output in outputs],
                ImageShapes(boxed=image.boxed.shape[:2], original=image.size),
                conf,
            )
            for index, image in enumerate(prepared)
        ]
