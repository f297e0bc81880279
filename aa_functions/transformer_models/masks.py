"""Instance, panoptic and semantic segmentation: masks or polygons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import PIL.Image
from attrs import frozen
from cvat_sdk.auto_annotation import DetectionAnnotation, DetectionFunctionSpec, mask, polygon

from aa_functions.mask_codec import encode_bitmap
from aa_functions.outlines import mask_to_polygons
from aa_functions.transformer_models.kind import (
    Read,
    image_inputs,
    label_ids,
    label_specs,
    score_field,
)
from aa_functions.transformer_models.loading import LoadedModel
from aa_functions.transformer_models.runner import Inputs, Sizes

SEGMENTATIONS = ("panoptic", "instance", "semantic")
"""In the order in which `auto` takes the first that the model's processor offers."""


@frozen(kw_only=True)
class Segmentation:
    """Instance, panoptic or semantic segmentation: masks, or polygons if the context asks."""

    loaded: LoadedModel
    segmentation: str
    mask_threshold: float
    overlap_mask_area_threshold: float
    default_conf: float = 0.9

    @property
    def spec(self) -> DetectionFunctionSpec:
        """One mask label for each class."""
        return label_specs(self.loaded.classes, "mask")

    @property
    def options(self) -> Mapping[str, Any]:
        """The kind of segmentation and its thresholds."""
        return {
            "segmentation": self.segmentation,
            "mask_threshold": self.mask_threshold,
            "overlap_mask_area_threshold": self.overlap_mask_area_threshold,
        }

    def prepare(self, image: PIL.Image.Image) -> Inputs:
        """Resize and scale the image."""
        return image_inputs(self.loaded.processor, image)

    def reader(self, conf: float, *, polygons: bool) -> Read:
        """Read the segments. Those of a semantic segmentation have no score."""
        processor = self.loaded.processor
        ids = label_ids(self.loaded.classes)

        def semantic(output: Any, sizes: Sizes) -> Iterator[tuple[np.ndarray, list[Any]]]:
            found = processor.post_process_semantic_segmentation(output, target_sizes=sizes)
            for one in found:
                classes = one.cpu().numpy()
                yield classes, [(number, number, None) for number in np.unique(classes).tolist()]

        def segments(output: Any, sizes: Sizes) -> Iterator[tuple[np.ndarray, list[Any]]]:
            read = getattr(processor, f"post_process_{self.segmentation}_segmentation")
            found = read(
                output,
                threshold=conf,
                mask_threshold=self.mask_threshold,
                overlap_mask_area_threshold=self.overlap_mask_area_threshold,
                target_sizes=sizes,
            )
            for one in found:
                yield (
                    one["segmentation"].cpu().numpy(),
                    [
                        (info["id"], info["label_id"], info["score"])
                        for info in one["segments_info"]
                    ],
                )

        read = semantic if self.segmentation == "semantic" else segments

        def annotations(output: Any, sizes: Sizes) -> list[list[DetectionAnnotation]]:
            return [
                [
                    annotation
                    for number, label, score in infos
                    if label in ids
                    for annotation in _masks(
                        numbers == number, ids[label], score_field(score, conf), polygons
                    )
                ]
                for numbers, infos in read(output, sizes)
            ]

        return annotations


def _masks(
    bitmap: np.ndarray, label: int, fields: Mapping[str, Any], polygons: bool
) -> list[DetectionAnnotation]:
    if polygons:
        outlines = mask_to_polygons(bitmap)
        return [polygon(label, outline.ravel().tolist(), **fields) for outline in outlines]
    points = encode_bitmap(bitmap)
    return [mask(label, points, **fields)] if points else []
