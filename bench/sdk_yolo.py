"""YOLO as users of the SDK write it: Ultralytics' `predict` on one image after another.

Ultralytics chooses the number of threads. Batches have one image.
"""

from __future__ import annotations

from typing import Any

import cvat_sdk.auto_annotation as cvataa
import PIL.Image


def create(model: str, imgsz: int = 640, conf: float = 0.25, device: str = "cpu") -> Any:
    """Create the function from a checkpoint."""
    from aa_functions.backends.ultralytics_import import import_ultralytics

    return PlainYolo(import_ultralytics().YOLO(model), imgsz, conf, device)


class PlainYolo:
    """The AA function."""

    def __init__(self, model: Any, imgsz: int, conf: float, device: str) -> None:
        self._model = model
        self._options = {"imgsz": imgsz, "conf": conf, "verbose": False, "device": device}
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[
                cvataa.label_spec(name, number, type="rectangle")
                for number, name in model.names.items()
            ]
        )

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[cvataa.DetectionAnnotation]:
        """Return rectangles in pixels of the image."""
        (result,) = self._model.predict(source=image, **self._options)
        return [
            cvataa.rectangle(int(number), points)
            for points, number in zip(
                result.boxes.xyxy.tolist(), result.boxes.cls.tolist(), strict=True
            )
        ]
