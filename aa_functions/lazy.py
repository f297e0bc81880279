"""A function that is made on its first use, so that a module can be a function and load fast."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import PIL.Image
from cvat_sdk.auto_annotation import (
    DetectionAnnotation,
    DetectionFunctionContext,
    DetectionFunctionSpec,
)

from aa_functions.yolo import YoloDetection


class LazyFunction:
    """Makes the function once, whichever thread comes first; a failure is tried again."""

    def __init__(self, make: Callable[[], YoloDetection]) -> None:
        self._make = make
        self._made: YoloDetection | None = None
        self._lock = threading.Lock()

    @property
    def function(self) -> YoloDetection:
        """The function itself."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    @property
    def spec(self) -> DetectionFunctionSpec:
        """See `YoloDetection.spec`."""
        return self.function.spec

    def detect(
        self, context: DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[DetectionAnnotation]:
        """See `YoloDetection.detect`."""
        return self.function.detect(context, image)

    def detect_batch(
        self, contexts: Sequence[DetectionFunctionContext], images: Sequence[PIL.Image.Image]
    ) -> list[list[DetectionAnnotation]]:
        """See `YoloDetection.detect_batch`."""
        return self.function.detect_batch(contexts, images)

    def fingerprint_inputs(self) -> Mapping[str, Any]:
        """See `YoloDetection.fingerprint_inputs`."""
        return self.function.fingerprint_inputs()
