"""A detection function for models of Hugging Face's Transformers.

    cvat-cli task auto-annotate 12 --function-module aa_functions.huggingface \
        -p model=str:/models/rtdetr_r50vd

Object detection, zero-shot object detection, instance, panoptic and semantic segmentation, and
image classification. The kind comes from the model's config.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import PIL.Image
from cvat_sdk.auto_annotation import (
    DetectionAnnotation,
    DetectionFunctionContext,
    DetectionFunctionSpec,
)

from aa_functions.contexts import check_lengths, min_confidence, wants_polygons
from aa_functions.errors import TransformersError, YoloOptionError
from aa_functions.options import check_counts, check_shares
from aa_functions.transformer_models.boxes import Detection, ZeroShotDetection
from aa_functions.transformer_models.folder import find_model, model_files
from aa_functions.transformer_models.kind import Kind
from aa_functions.transformer_models.loading import LoadedModel, load_model
from aa_functions.transformer_models.masks import SEGMENTATIONS, Segmentation
from aa_functions.transformer_models.prompts import read_prompts
from aa_functions.transformer_models.runner import BatchRunner
from aa_functions.transformer_models.tags import Classification

DEFAULT_GPU_BATCH = 8
RESULTS_VERSION = 1
"""Part of the fingerprint. Increase it if a change here or in `transformer_models` changes the
results."""


def create(
    model: str | Path,
    *,
    revision: str | None = None,
    labels: str | Sequence[str] | Mapping[str, str] | None = None,
    conf: float | None = None,
    device: str = "auto",
    batch: int | None = None,
    segmentation: str = "auto",
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.5,
    top_k: int = 1,
    download: bool = False,
) -> TransformersDetection:
    """Create a detection function from a model of Transformers.

    Args:
        model: A folder that `save_pretrained` wrote, or the name of a model on the Hub.
        revision: Of a model on the Hub: the commit, 40 hexadecimal digits.
        labels: For zero-shot detection: the names of labels, as a list or a text with commas, or a
            mapping of names to prompts; also as JSON.
        conf: Minimum score, 0 to 1, if the context has none. None: as in the library's
            pipelines, 0.5 for detection, 0.1 for zero-shot detection, 0.9 for segmentation, 0 for
            classification.
        device: `auto` (CUDA if there is one, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`.
        batch: Most images in a batch. None: 8 on a GPU, 1 on a CPU.
        segmentation: `panoptic`, `instance`, `semantic`; `auto`: the first that the model's
            processor offers.
        mask_threshold: A pixel belongs to a mask from this probability on, 0 to 1.
        overlap_mask_area_threshold: A segment is dropped if others cover more than the rest of its
            mask, 0 to 1.
        top_k: Most tags on an image.
        download: Fetch a model on the Hub that is not in the cache of this machine. Otherwise
            nothing is asked of the network.

    Returns:
        The function. The ids of its labels are the class numbers.

    Raises:
        TransformersError: if the model or an option cannot be used, or a package is missing.
    """
    check_shares(
        TransformersError,
        conf=conf,
        mask_threshold=mask_threshold,
        overlap_mask_area_threshold=overlap_mask_area_threshold,
    )
    check_counts(TransformersError, batch=batch, top_k=top_k)
    folder = find_model(model, revision, download=download)
    loaded = load_model(folder)
    kind = _choose_kind(
        loaded,
        Path(model).name,
        labels=labels,
        segmentation=segmentation,
        mask_threshold=mask_threshold,
        overlap_mask_area_threshold=overlap_mask_area_threshold,
        top_k=top_k,
    )
    return TransformersDetection(
        title=Path(model).name,
        folder=folder,
        loaded=loaded,
        kind=kind,
        conf=kind.default_conf if conf is None else conf,
        device=_choose_device(device),
        batch=batch,
    )


class TransformersDetection:
    """The AA function. Several threads may use it at the same time. `create` makes it."""

    results_depend_on = "image"

    def __init__(
        self,
        *,
        title: str,
        folder: Path,
        loaded: LoadedModel,
        kind: Kind,
        conf: float,
        device: Any,
        batch: int | None,
    ) -> None:
        self.title = title
        self._folder = folder
        self._kind = kind
        self._conf = conf
        self._runner = BatchRunner(
            loaded.model,
            kind.prepare,
            device=device,
            batch=batch or (1 if device.type == "cpu" else DEFAULT_GPU_BATCH),
        )

    @cached_property
    def spec(self) -> DetectionFunctionSpec:
        """One label for each class, or for each prompt."""
        return self._kind.spec

    def detect(
        self, context: DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[DetectionAnnotation]:
        """Detect on one image.

        Args:
            context: Its `conf_threshold` (0 to 1) replaces the function's minimum score. With
                `conv_mask_to_poly` masks become polygons; see `aa_functions.outlines`.
            image: Of any size and mode; see `aa_functions.to_rgb`.

        Returns:
            Annotations in pixels of the image, with scores.
        """
        return self.detect_batch([context], [image])[0]

    def detect_batch(
        self, contexts: Sequence[DetectionFunctionContext], images: Sequence[PIL.Image.Image]
    ) -> list[list[DetectionAnnotation]]:
        """Detect on several images.

        Args:
            contexts: One for each image.
            images: Of any modes and sizes. The result of an image does not depend on the others.

        Returns:
            For each image what `detect` returns.
        """
        check_lengths(contexts, images)
        options = [
            (min_confidence(context, self._conf), wants_polygons(context)) for context in contexts
        ]
        found: list[list[DetectionAnnotation]] = [[] for _ in images]
        for conf, polygons in sorted(set(options)):
            indices = [index for index, own in enumerate(options) if own == (conf, polygons)]
            read = self._kind.reader(conf, polygons=polygons)
            results = self._runner.run([images[index] for index in indices], read)
            for index, result in zip(indices, results, strict=True):
                found[index] = result
        return found

    def fingerprint_inputs(self) -> Mapping[str, Any]:
        """Return what decides the results; see `aa_functions.fingerprint`. The device does not."""
        return {
            "implementation": f"aa_functions.huggingface {RESULTS_VERSION}",
            "conf": self._conf,
            **self._kind.options,
            **{f"file {name}": path for name, path in model_files(self._folder).items()},
            "packages": ("PIL", "cvat_sdk", "tokenizers", "torch", "torchvision", "transformers"),
        }


def _choose_device(device: str) -> Any:
    import torch

    from aa_functions.backends.device import choose_device

    try:
        # The CPU has a name of ours there, so that torch need not be imported.
        return torch.device(str(choose_device(device)))
    except YoloOptionError as error:
        raise TransformersError(str(error)) from error


def _choose_kind(
    loaded: LoadedModel,
    name: str,
    *,
    labels: str | Sequence[str] | Mapping[str, str] | None,
    segmentation: str,
    mask_threshold: float,
    overlap_mask_area_threshold: float,
    top_k: int,
) -> Kind:
    if labels and loaded.task != "zero-shot detection":
        raise TransformersError(
            f"'labels' is for models of zero-shot detection, but '{name}' is one of {loaded.task}: "
            "leave it out, and choose labels with --label-mapping."
        )
    if loaded.task == "detection":
        return Detection(loaded=loaded)
    if loaded.task == "classification":
        return Classification(loaded=loaded, top_k=top_k)
    if loaded.task == "zero-shot detection":
        return _zero_shot(loaded, name, read_prompts(labels))
    architecture = type(loaded.model).__name__
    if architecture.startswith("OneFormer"):  # its input names the task, which this does not make
        raise TransformersError(
            f"'{name}' is a {architecture}, which is not supported: use a Mask2Former or a "
            "MaskFormer."
        )
    processor = loaded.processor
    offered = [s for s in SEGMENTATIONS if hasattr(processor, f"post_process_{s}_segmentation")]
    chosen = offered[0] if segmentation == "auto" and offered else segmentation
    if chosen not in offered:
        raise TransformersError(
            f"The option segmentation is '{segmentation}', but '{name}' offers: "
            f"{', '.join(offered) or 'none'}."
        )
    return Segmentation(
        loaded=loaded,
        segmentation=chosen,
        mask_threshold=mask_threshold,
        overlap_mask_area_threshold=overlap_mask_area_threshold,
    )


def _zero_shot(loaded: LoadedModel, name: str, prompts: Mapping[str, str]) -> Kind:
    architecture = type(loaded.model).__name__
    if not architecture.startswith("Owl"):
        raise TransformersError(
            f"'{name}' is a {architecture}, but zero-shot detection works with OWL-ViT and OWLv2."
        )
    texts = loaded.processor(
        text=[list(prompts.values())], return_tensors="pt", padding="max_length"
    )
    return ZeroShotDetection(loaded=loaded, prompts=prompts, texts=dict(texts))
