"""What the kinds of models have in common: labels, scores and input.

A kind describes its labels, prepares the input of one image, and makes CVAT's annotations from the
output of a batch. What the library's own post-processing gives is kept: boxes are not rounded to
whole pixels, and the scores are the library's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import PIL.Image
from cvat_sdk.auto_annotation import DetectionAnnotation, DetectionFunctionSpec, label_spec

from aa_functions.transformer_models.runner import Inputs, Sizes

Read = Callable[[Any, Sizes], list[list[DetectionAnnotation]]]


class Kind(Protocol):
    """A kind of model."""

    @property
    def default_conf(self) -> float:
        """The threshold of the library's pipeline."""
        ...

    @property
    def spec(self) -> DetectionFunctionSpec:
        """The labels. Their ids are class numbers."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What decides the results beside the model, for the fingerprint."""
        ...

    def prepare(self, image: PIL.Image.Image) -> Inputs:
        """Return the model's input for an RGB image."""
        ...

    def reader(self, conf: float, *, polygons: bool) -> Read:
        """Return what makes annotations from a batch's output, all with scores of at least conf."""
        ...


def image_inputs(processor: Any, image: PIL.Image.Image) -> Inputs:
    """Return what the processor makes of one RGB image."""
    return dict(processor(images=image, return_tensors="pt"))


def label_ids(classes: Mapping[int, str]) -> dict[int, int]:
    """Return the label id of each class: the first of those with its name. `N/A` is no class."""
    first: dict[str, int] = {}
    for number, name in classes.items():
        if name != "N/A":
            first.setdefault(name, number)
    return {number: first[name] for number, name in classes.items() if name in first}


def label_specs(classes: Mapping[int, str], type_: str) -> DetectionFunctionSpec:
    """Return the spec with one label for each name."""
    ids = set(label_ids(classes).values())
    return DetectionFunctionSpec(
        labels=[
            label_spec(name, number, type=type_)
            for number, name in classes.items()
            if number in ids
        ]
    )


def score_field(score: float | None, conf: float) -> dict[str, float]:
    """Return the score, rounded to 0.0001 but not below the threshold."""
    return {} if score is None else {"score": min(max(round(score, 4), conf), 1.0)}
