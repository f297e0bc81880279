"""A detection function for any Ultralytics checkpoint: boxes, masks, skeletons, tags.

    cvat-cli task auto-annotate 12 --function-module aa_functions.yolo \
        -p model=str:yolov8n.pt -p device=str:cuda

The checkpoint says which kind of model it is; `aa_functions.kinds` has the kinds.

Ultralytics and the models it trains are licensed under AGPL-3.0.
"""

from __future__ import annotations

import threading
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

from aa_functions.backends.backend import choose_backend, supported_precision
from aa_functions.backends.device import choose_device, choose_precision
from aa_functions.backends.making import Network, PredictorMaker
from aa_functions.backends.pool import CpuRunner, GpuRunner
from aa_functions.backends.predictor import PredictorOptions
from aa_functions.contexts import check_lengths, min_confidence, wants_polygons
from aa_functions.errors import YoloOptionError
from aa_functions.kinds.kind import Kind
from aa_functions.kinds.options import KindOptions, make_kind
from aa_functions.options import check_counts, check_shares
from aa_functions.processors import cpu_cores
from aa_functions.weights import find_weights

DEFAULT_GPU_BATCH = 32
RESULTS_VERSION = 3
"""Part of the fingerprint. Increase it if a change here, in `backends` or in `kinds` gives other
results for the same image; otherwise cached detections of the old code would be used."""


def create(
    model: str | Path,
    *,
    device: str = "auto",
    imgsz: int | None = None,
    conf: float = 0.25,
    iou: float | None = None,
    max_det: int | None = None,
    classes: str | Sequence[int | str] | None = None,
    agnostic_nms: bool | None = None,
    polygon_tolerance: float | None = None,
    keypoints: str | Path | Sequence[str] | None = None,
    keypoint_conf: float | None = None,
    top_k: int | None = None,
    backend: str = "auto",
    precision: str = "f32",
    half: bool = False,
    batch: int | None = None,
    workers: int | None = None,
    download: bool | None = None,
) -> YoloDetection:
    """Create a detection function from an Ultralytics checkpoint of any of the five kinds.

    Args:
        model: Name or path of the weights; see `aa_functions.weights`.
        device: `auto` (CUDA if there is one, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`.
        imgsz: Input size: the longer side, in pixels. None: the size of the training.
        conf: Minimum confidence, 0 to 1, if the context has none.
        iou: Of two boxes that overlap more than this (0 to 1), the less confident is dropped.
            None: 0.7. Not for `classify`, like the next one and `agnostic_nms`.
        max_det: Maximum number of objects on an image. None: 300.
        classes: Names or numbers of the classes to detect, as a list or as a text with commas.
            None: all. The spec has only these.
        agnostic_nms: Also drop overlapping boxes of different classes. None: only for YOLOE, as
            Ultralytics' `predict` does.
        polygon_tolerance: For `segment`, if the context asks for polygons: by how many pixels an
            outline may move when corners are left out. None: 1.
        keypoints: For `pose`: the names of the keypoints in the model's order, as a list or as a
            text with commas, or a file with them (*.txt, *.json, *.yaml). None: those of the
            checkpoint; else of COCO's persons, or numbers from 0.
        keypoint_conf: For `pose`: keypoints of less confidence (0 to 1) are `outside`. None: 0.5.
        top_k: For `classify`: the most tags of an image. None: 1.
        backend: What runs the network: `torch`, or on a CPU `openvino` or `onnx` (ONNX Runtime),
            which are faster. `auto`: the fastest that is installed. All give the same boxes.
        precision: `f32`, or `bf16` or (on a GPU) `f16`, which are faster and less exact. If
            OpenVINO cannot compute in `bf16` on this processor, a warning is logged and `f32` is
            used.
        half: Short for precision `f16`.
        batch: Maximum number of images in a batch on a GPU. It shrinks when memory runs out. On a
            CPU each core runs one image at a time.
        workers: Number of copies of the model on a CPU, or of threads that prepare images for a
            GPU. None: one for each core.
        download: Whether to download weights that are not found from Ultralytics' releases. None:
            if they have a name that Ultralytics publishes; see `aa_functions.weights.download`.

    Returns:
        The function. The ids of its labels are the class numbers. Its annotations are in pixels
        of the image, with scores from 0 to 1.

    Raises:
        WeightsNotFoundError: if there are no such weights.
        YoloOptionError: if the file is not a checkpoint of these kinds, or an option has an
            unusable value or is for another kind.
        YoloNotInstalledError: if ultralytics, torch or torchvision is missing.

    >>> function = create("shapes-yolov8n", classes="circle, star")
    >>> [(label.name, label.id) for label in function.spec.labels]
    [('circle', 0), ('star', 3)]
    """
    check_shares(YoloOptionError, conf=conf, iou=iou, keypoint_conf=keypoint_conf)
    check_counts(
        YoloOptionError, imgsz=imgsz, max_det=max_det, top_k=top_k, batch=batch, workers=workers
    )
    if polygon_tolerance is not None and not 0 <= polygon_tolerance < float("inf"):
        raise YoloOptionError(
            f"The option polygon_tolerance is {polygon_tolerance}, but must be a number of pixels, "
            "0 or more."
        )
    weights = find_weights(model, download=download)
    chosen_device = choose_device(device)
    chosen_precision = choose_precision(precision, half=half, device=chosen_device)
    chosen_backend = choose_backend(backend, device=chosen_device, precision=chosen_precision)
    network = Network(weights, chosen_backend)
    kind = make_kind(
        network.info,
        KindOptions(
            classes=choose_classes(classes, network.info.labels, weights.name),
            iou=iou,
            max_det=max_det,
            agnostic_nms=agnostic_nms,
            polygon_tolerance=polygon_tolerance,
            keypoints=keypoints,
            keypoint_conf=keypoint_conf,
            top_k=top_k,
        ),
    )
    options = PredictorOptions(
        imgsz=imgsz,
        device=chosen_device,
        precision=supported_precision(chosen_backend, chosen_precision),
    )
    copies = workers or cpu_cores()
    return YoloDetection(
        predictors=PredictorMaker(
            network=network,
            kind=kind,
            options=options,
            backend=chosen_backend,
            may_fall_back=backend == "auto",
            copies=copies,
        ),
        conf=conf,
        gpu_batch=batch or DEFAULT_GPU_BATCH,
        workers=copies,
    )


class YoloDetection:
    """The AA function. Several threads may use it at the same time. `create` makes it."""

    results_depend_on = "image"

    def __init__(
        self,
        *,
        predictors: PredictorMaker,
        conf: float,
        gpu_batch: int,
        workers: int,
    ) -> None:
        self.title = predictors.network.weights.stem
        self._predictors = predictors
        self._kind: Kind = predictors.kind
        self._options = predictors.options
        self._conf = conf
        self._gpu_batch = gpu_batch
        self._workers = workers
        self._lock = threading.Lock()

    @cached_property
    def spec(self) -> DetectionFunctionSpec:
        """One label for each class. Its id is the class number."""
        return DetectionFunctionSpec(labels=self._kind.specs)

    def detect(
        self, context: DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[DetectionAnnotation]:
        """Detect on one image.

        Args:
            context: Its `conf_threshold` (0 to 1) replaces the function's minimum confidence. If
                its `conv_mask_to_poly` is true, masks become polygons.
            image: Of any size and mode; see `aa_functions.to_rgb`.

        Returns:
            Annotations in pixels of the image with scores, sorted by falling score.
        """
        conf = min_confidence(context, self._conf)
        found = self._runner.run_single(image, conf)
        return self._kind.annotations(found, conf, polygons=wants_polygons(context))

    def detect_batch(
        self, contexts: Sequence[DetectionFunctionContext], images: Sequence[PIL.Image.Image]
    ) -> list[list[DetectionAnnotation]]:
        """Detect on several images, using the whole device.

        Args:
            contexts: One for each image.
            images: Of any modes and sizes. The result of an image does not depend on the others.

        Returns:
            For each image what `detect` returns.
        """
        check_lengths(contexts, images)
        thresholds = [min_confidence(context, self._conf) for context in contexts]
        found: list[list[DetectionAnnotation]] = [[] for _ in images]
        for conf in sorted(set(thresholds)):
            indices = [index for index, own in enumerate(thresholds) if own == conf]
            results = self._runner.run([images[index] for index in indices], conf)
            for index, result in zip(indices, results, strict=True):
                found[index] = self._kind.annotations(
                    result, conf, polygons=wants_polygons(contexts[index])
                )
        return found

    def fingerprint_inputs(self) -> Mapping[str, Any]:
        """Return what decides the results; see `aa_functions.fingerprint`. The device does not."""
        return {
            "implementation": f"aa_functions.yolo {RESULTS_VERSION}",
            "weights": self._predictors.network.weights,
            "conf": self._conf,
            "imgsz": self._options.imgsz,
            "precision": self._options.precision,
            "packages": ("cv2", "cvat_sdk", "torch", "torchvision", "ultralytics"),
            **self._kind.fingerprint,
        }

    @property
    def device(self) -> str:
        """What runs the network, such as `cpu (openvino)` or `cuda:0 (torch)`."""
        return f"{self._options.device} ({self._predictors.backend})"

    @property
    def _runner(self) -> CpuRunner | GpuRunner:
        with self._lock:
            return self._locked_runner

    @cached_property
    def _locked_runner(self) -> CpuRunner | GpuRunner:
        if self._options.device.type == "cpu":
            return CpuRunner(self._predictors.make, self._workers)
        return GpuRunner(self._predictors.make, self._workers, self._gpu_batch)


def choose_classes(
    classes: str | Sequence[int | str] | None, names: Mapping[int, str], model: str
) -> tuple[int, ...] | None:
    """Return the numbers of the chosen classes, ascending; None for all.

    Args:
        classes: Names or numbers, as a list or as a text with commas; None or "": all.
        names: The model's class names by number.
        model: The model's name, for the text of an error.

    Raises:
        YoloOptionError: if the model does not have a class.
    """
    if classes is None or classes == "":
        return None
    wanted = classes.split(",") if isinstance(classes, str) else classes
    by_name = {name: number for number, name in names.items()}
    numbers = set()
    for entry in wanted:
        text = str(entry).strip()
        number = by_name.get(text, int(text) if text.isdigit() else -1)
        if number not in names:
            known = ", ".join(names.values())
            raise YoloOptionError(f"The model '{model}' has no class {text!r}; it has: {known}.")
        numbers.add(number)
    return tuple(sorted(numbers))
