"""YOLO the way a user of the SDK writes it: Ultralytics' `predict` on one image after another.

The SDK's predefined function had this form; its threads and batches are Ultralytics' own choice.
"""

from __future__ import annotations

from typing import Any

import cvat_sdk.auto_annotation as cvataa
import PIL.Image


def create(model: str, imgsz: int = 640, conf: float = 0.25, device: str = "cpu") -> Any:
    """Load a checkpoint."""
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
        """Rectangles in pixels of the image."""
        (result,) = self._model.predict(source=image, **self._options)
        return [
            cvataa.rectangle(int(number), points)
            for points, number in zip(
                result.boxes.xyxy.tolist(), result.boxes.cls.tolist(), strict=True
            )
        ]
