"""Object detection, and detection of what texts describe: rectangles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import PIL.Image
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation, DetectionFunctionSpec, rectangle

from aa_functions.transformer_models.kind import (
    Read,
    image_inputs,
    label_ids,
    label_specs,
    score_field,
)
from aa_functions.transformer_models.loading import LoadedModel
from aa_functions.transformer_models.runner import Inputs, Sizes


@frozen(kw_only=True)
class Detection:
    """Object detection: rectangles."""

    loaded: LoadedModel
    default_conf: float = 0.5

    @property
    def spec(self) -> DetectionFunctionSpec:
        """One rectangle label for each class."""
        return label_specs(self.loaded.classes, "rectangle")

    @property
    def options(self) -> Mapping[str, Any]:
        """None of its own."""
        return {}

    def prepare(self, image: PIL.Image.Image) -> Inputs:
        """Resize and scale the image."""
        return image_inputs(self.loaded.processor, image)

    def reader(self, conf: float, *, polygons: bool) -> Read:
        """Read boxes in pixels of the image, sorted by falling score."""
        post_process = self.loaded.processor.post_process_object_detection
        return _reader(post_process, label_ids(self.loaded.classes), conf)


@frozen(kw_only=True)
class ZeroShotDetection:
    """Detection of what texts describe: rectangles. Each object has the text that fits best."""

    loaded: LoadedModel
    prompts: Mapping[str, str]
    """The text for each label."""
    texts: Inputs
    """The prompts as the model takes them."""
    default_conf: float = 0.1

    @property
    def spec(self) -> DetectionFunctionSpec:
        """One rectangle label for each prompt."""
        return label_specs(dict(enumerate(self.prompts)), "rectangle")

    @property
    def options(self) -> Mapping[str, Any]:
        """The labels and prompts, in order: of two that fit equally the first wins."""
        return {"prompts": list(self.prompts.items())}

    def prepare(self, image: PIL.Image.Image) -> Inputs:
        """Resize and scale the image, and add the prompts."""
        return {**image_inputs(self.loaded.processor.image_processor, image), **self.texts}

    def reader(self, conf: float, *, polygons: bool) -> Read:
        """Read boxes in pixels of the image, sorted by falling score."""
        post_process = self.loaded.processor.post_process_grounded_object_detection
        return _reader(post_process, {number: number for number in range(len(self.prompts))}, conf)


def _reader(post_process: Callable[..., Any], ids: Mapping[int, int], conf: float) -> Read:
    """Return what reads boxes from the output of a model, with the processor's own steps."""

    def read(output: Any, sizes: Sizes) -> list[list[DetectionAnnotation]]:
        found = post_process(output, threshold=conf, target_sizes=sizes)
        return [
            _rectangles(one["boxes"], one["scores"], one["labels"], ids, conf, size)
            for one, size in zip(found, sizes, strict=True)
        ]

    return read


def _rectangles(
    boxes: Any,
    scores: Any,
    labels: Any,
    ids: Mapping[int, int],
    conf: float,
    size: tuple[int, int],
) -> list[DetectionAnnotation]:
    """Return boxes inside the image, rounded to 0.01 pixel.

    That hides the differences of rounding between devices and batches.
    """
    height, width = size
    corners = boxes.cpu().double().numpy().reshape(-1, 4)
    corners = np.clip(corners, 0, [width, height, width, height]).round(2)
    rows = zip(corners.tolist(), scores.tolist(), labels.tolist(), strict=True)
    found = sorted(rows, key=lambda row: -row[1])
    return [
        rectangle(ids[label], points, **score_field(score, conf))
        for points, score, label in found
        if label in ids and points[0] < points[2] and points[1] < points[3]
    ]
