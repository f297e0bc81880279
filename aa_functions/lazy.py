"""A function that is created on first use, so that a module can be a function and load fast."""

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
    """Creates a function once, on first use by any thread. After a failure it tries again."""

    def __init__(self, create: Callable[[], YoloDetection]) -> None:
        self._create = create
        self._created: YoloDetection | None = None
        self._lock = threading.Lock()

    @property
    def function(self) -> YoloDetection:
        """The function, created now if it was not before."""
        with self._lock:
            if self._created is None:
                self._created = self._create()
            return self._created

    @property
    def spec(self) -> DetectionFunctionSpec:
        """See `YoloDetection.spec`."""
        return self.function.spec

    @property
    def device(self) -> str:
        """See `YoloDetection.device`."""
        return self.function.device

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
