"""Image classification: tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import PIL.Image
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation, DetectionFunctionSpec, tag

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
class Classification:
    """Image classification: tags."""

    loaded: LoadedModel
    top_k: int
    default_conf: float = 0.0

    @property
    def spec(self) -> DetectionFunctionSpec:
        """One tag label for each class."""
        return label_specs(self.loaded.classes, "tag")

    @property
    def options(self) -> Mapping[str, Any]:
        """The number of tags."""
        return {"top_k": self.top_k}

    def prepare(self, image: PIL.Image.Image) -> Inputs:
        """Resize and scale the image."""
        return image_inputs(self.loaded.processor, image)

    def reader(self, conf: float, *, polygons: bool) -> Read:
        """Read at most `top_k` classes, sorted by falling score."""
        ids = label_ids(self.loaded.classes)
        config = self.loaded.model.config
        is_multi_label = (
            config.problem_type == "multi_label_classification" or config.num_labels == 1
        )

        def read(output: Any, sizes: Sizes) -> list[list[DetectionAnnotation]]:
            logits = output.logits.float()
            scores = logits.sigmoid() if is_multi_label else logits.softmax(-1)
            values, labels = scores.topk(min(self.top_k, scores.shape[-1]))
            return [
                [
                    tag(ids[label], **score_field(score, conf))
                    for score, label in zip(row, numbers, strict=True)
                    if score >= conf and label in ids
                ]
                for row, numbers in zip(values.tolist(), labels.tolist(), strict=True)
            ]

        return read
