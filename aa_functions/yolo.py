"""A detection function for any Ultralytics detection checkpoint.

    cvat-cli task auto-annotate 12 --function-module aa_functions.yolo \
        -p model=str:yolov8n.pt -p device=str:cuda

Ultralytics and the models it trains are licensed under AGPL-3.0.
"""

from __future__ import annotations

import logging
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
    label_spec,
    rectangle,
)

from aa_functions.backends.backend import Backend, choose_backend, exported, open_forward
from aa_functions.backends.device import (
    choose_device,
    choose_precision,
)
from aa_functions.backends.pool import CpuRunner, GpuRunner
from aa_functions.backends.predictor import Predictor, PredictorOptions, load_checkpoint
from aa_functions.errors import YoloOptionError
from aa_functions.processors import cpu_cores
from aa_functions.weights import find_weights

DEFAULT_GPU_BATCH = 32

logger = logging.getLogger(__name__)


def create(
    model: str | Path,
    *,
    device: str = "auto",
    imgsz: int | None = None,
    conf: float = 0.25,
    iou: float = 0.7,
    max_det: int = 300,
    classes: str | Sequence[int | str] | None = None,
    agnostic_nms: bool = False,
    backend: str = "auto",
    precision: str = "f32",
    half: bool = False,
    batch: int | None = None,
    workers: int | None = None,
    download: bool = False,
) -> YoloDetection:
    """Load a detection checkpoint.

    Args:
        model: Name or path of the weights, see `aa_functions.weights`.
        device: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, `cuda:1`, ...
        imgsz: Input size in pixels, the longer side; None: the size it was trained with.
        conf: Least confidence, 0 to 1, where the context names none.
        iou: Overlap, 0 to 1, above which the less confident of two boxes is dropped.
        max_det: Most boxes on an image.
        classes: Names or numbers of the classes to detect, as a list or as text with commas;
            None: all. The spec holds only these.
        agnostic_nms: Let boxes of different classes suppress each other.
        backend: What runs the network: `torch`; on a CPU also `openvino` or `onnx` (ONNX Runtime),
            which are faster; `auto`: the fastest that is installed. The boxes are the same.
        precision: `f32`, or, at the cost of exactness, `bf16` or (on a GPU) `f16`.
        half: The same as precision `f16`.
        batch: Most images in a batch on a GPU; it shrinks by itself where memory runs out. On a
            CPU images are run one by one on each core.
        workers: Copies of the model on a CPU, threads that prepare images for a GPU; None: one for
            each core.
        download: Fetch weights that are not here from Ultralytics' releases.

    Raises:
        WeightsNotFoundError: if there are no such weights.
        YoloOptionError: if the checkpoint is of another kind, or an option cannot be used.
    """
    for name, share in (("conf", conf), ("iou", iou)):
        if not 0 <= share <= 1:
            raise YoloOptionError(f"The option {name} is {share}, but must be from 0 to 1.")
    counts = (("imgsz", imgsz), ("max_det", max_det), ("batch", batch), ("workers", workers))
    for name, count in counts:
        if count is not None and count < 1:
            raise YoloOptionError(f"The option {name} is {count}, but must be at least 1.")
    weights = find_weights(model, download=download)
    checkpoint = load_checkpoint(weights)
    chosen_device = choose_device(device)
    chosen_precision = choose_precision(precision, half=half, device=chosen_device)
    return YoloDetection(
        weights=weights,
        checkpoint=checkpoint,
        options=PredictorOptions(
            imgsz=imgsz,
            iou=iou,
            max_det=max_det,
            classes=choose_classes(classes, checkpoint.names, weights.name),
            agnostic_nms=agnostic_nms,
            device=chosen_device,
            precision=chosen_precision,
        ),
        backend=choose_backend(backend, device=chosen_device, precision=chosen_precision),
        may_fall_back=backend == "auto",
        conf=conf,
        batch=batch or DEFAULT_GPU_BATCH,
        workers=workers or cpu_cores(),
    )


class YoloDetection:
    """The AA function. It may be used from several threads at once."""

    def __init__(
        self,
        *,
        weights: Path,
        checkpoint: Any,
        options: PredictorOptions,
        backend: Backend,
        may_fall_back: bool,
        conf: float,
        batch: int,
        workers: int,
    ) -> None:
        self.title = weights.stem
        self._weights = weights
        self._checkpoint = checkpoint
        self._options = options
        self._backend = backend
        self._may_fall_back = may_fall_back
        self._conf = conf
        self._batch = batch
        self._workers = workers
        self._lock = threading.Lock()

    @cached_property
    def spec(self) -> DetectionFunctionSpec:
        """A rectangle label for each class, with the class number as its id."""
        return DetectionFunctionSpec(
            labels=[
                label_spec(name, number, type="rectangle")
                for number, name in self._checkpoint.names.items()
                if self._options.classes is None or number in self._options.classes
            ]
        )

    def detect(
        self, context: DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[DetectionAnnotation]:
        """Rectangles in pixels of the image with their scores, the most confident first."""
        conf = self._threshold(context)
        return [_rectangle(row, conf) for row in self._runner.run_single(image, conf).tolist()]

    def detect_batch(
        self, contexts: Sequence[DetectionFunctionContext], images: Sequence[PIL.Image.Image]
    ) -> list[list[DetectionAnnotation]]:
        """What `detect` gives for each image, using all of the device.

        The boxes of an image do not depend on the other images.
        """
        if len(contexts) != len(images):
            raise ValueError(f"{len(contexts)} contexts for {len(images)} images")
        thresholds = [self._threshold(context) for context in contexts]
        found: list[list[DetectionAnnotation]] = [[] for _ in images]
        for conf in sorted(set(thresholds)):
            indices = [index for index, own in enumerate(thresholds) if own == conf]
            rows = self._runner.run([images[index] for index in indices], conf)
            for index, boxes in zip(indices, rows, strict=True):
                found[index] = [_rectangle(row, conf) for row in boxes.tolist()]
        return found

    def _threshold(self, context: DetectionFunctionContext) -> float:
        return self._conf if context.conf_threshold is None else float(context.conf_threshold)

    def fingerprint_inputs(self) -> Mapping[str, Any]:
        """What decides the boxes, see `aa_functions.fingerprint`. The device does not."""
        options = self._options
        return {
            "weights": self._weights,
            "conf": self._conf,
            "imgsz": options.imgsz,
            "iou": options.iou,
            "max_det": options.max_det,
            "classes": options.classes,
            "agnostic_nms": options.agnostic_nms,
            "precision": options.precision,
            "packages": ("cv2", "cvat_sdk", "torch", "torchvision", "ultralytics"),
        }

    @property
    def _runner(self) -> CpuRunner | GpuRunner:
        with self._lock:
            return self._made_runner

    @cached_property
    def _made_runner(self) -> CpuRunner | GpuRunner:
        if self._options.device.type == "cpu":
            return CpuRunner(self._make_predictor, self._workers)
        return GpuRunner(self._make_predictor, self._workers, self._batch)

    def _make_predictor(self, threads: int) -> Predictor:
        precision = self._options.precision
        predictor = Predictor(self._checkpoint, self._options)
        if self._backend != "torch":
            try:
                path = exported(self._weights, self._backend, predictor.forward)
                predictor.forward = open_forward(
                    path, self._backend, threads=threads, precision=precision
                )
            except YoloOptionError as error:
                if not self._may_fall_back:
                    raise
                logger.warning("Running with torch instead: %s", error)
                self._backend = "torch"
        if self._backend == "torch" and precision != "f32":
            predictor.reduce_precision(precision)
        return predictor


def choose_classes(
    classes: str | Sequence[int | str] | None, names: Mapping[int, str], model: str
) -> tuple[int, ...] | None:
    """Numbers of the named classes, in order; None for all.

    Raises:
        YoloOptionError: for a class that the model has not.
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


def _rectangle(row: Sequence[float], conf: float) -> DetectionAnnotation:
    """A box as CVAT takes it.

    Rounded to hundredths of a pixel and to ten-thousandths of confidence: what is left of the
    differences between devices and batches lies below that.
    """
    xtl, ytl, xbr, ybr, score, number = row
    return rectangle(
        int(number),
        [round(value, 2) for value in (xtl, ytl, xbr, ybr)],
        score=max(round(score, 4), conf),
    )
