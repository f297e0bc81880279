"""A detector of Transformers as users of the SDK write it: the pipeline on one image at a time."""

from __future__ import annotations

from typing import Any

import cvat_sdk.auto_annotation as cvataa
import PIL.Image

from aa_functions.transformer_models.loading import import_transformers


def create(model: str) -> Any:
    """Create the function from a folder."""
    pipeline = import_transformers().pipeline("object-detection", model=model, device="cpu")
    return PlainDetector(pipeline)


class PlainDetector:
    """The AA function."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        names = pipeline.model.config.id2label
        # Names that two classes share would be two labels of one name.
        self._numbers = {name: number for number, name in names.items()}
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[
                cvataa.label_spec(name, number, type="rectangle")
                for name, number in self._numbers.items()
            ]
        )

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[cvataa.DetectionAnnotation]:
        """Return rectangles in pixels of the image."""
        return [
            cvataa.rectangle(
                self._numbers[found["label"]],
                [found["box"][side] for side in ("xmin", "ymin", "xmax", "ymax")],
            )
            for found in self._pipeline(image)
        ]
