"""One Ultralytics predictor, taken apart: prepare an image, run prepared images, read boxes.

Ultralytics' own code does each step, so that the boxes are those of its `predict`. It is taken
apart because `predict` runs a list as one batch, pads by the list's shapes, drops what its NMS has
no time for in a batch, and must not be shared by threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from attrs import frozen
from PIL.ExifTags import Base

from aa_functions.backends.device import Precision, exact_convolutions
from aa_functions.backends.setup import import_ultralytics
from aa_functions.errors import YoloOptionError

Forward = Callable[[Sequence[np.ndarray]], Any]
"""Takes boxed images of one shape, (height, width, 3), BGR, 8 bits, and gives the network's raw
output, a tensor (images, 4 + classes, boxes)."""


@frozen(kw_only=True)
class PredictorOptions:
    """What Ultralytics' predictor is told; see `aa_functions.yolo.create`."""

    imgsz: int | tuple[int, int] | None
    iou: float
    max_det: int
    classes: tuple[int, ...] | None
    agnostic_nms: bool
    device: Any
    precision: Precision


@frozen(kw_only=True)
class PreparedImage:
    """An image on its way into the model."""

    original: np.ndarray
    """(height, width, channels), 8 bits. Ultralytics asks for its shape."""
    boxed: np.ndarray
    """Scaled and padded to the input size, BGR; images of one original shape have one boxed
    shape."""


def load_checkpoint(path: Path) -> Any:
    """Return Ultralytics' model object of a detection checkpoint.

    Raises:
        YoloOptionError: if the file is no Ultralytics checkpoint, or of another task.
    """
    ultralytics = import_ultralytics()
    if path.suffix != ".pt":
        raise YoloOptionError(
            f"'{path.name}' is no Ultralytics checkpoint (*.pt); name the .pt file, other formats "
            "are exported from it where the backend needs them."
        )
    try:
        model = ultralytics.YOLO(str(path))
    except Exception as error:
        raise YoloOptionError(
            f"'{path}' cannot be read as an Ultralytics checkpoint "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'})"
        ) from error
    if model.task != "detect":
        raise YoloOptionError(
            f"'{path.name}' is a checkpoint for the task '{model.task}', but this function takes "
            "checkpoints for 'detect' only (boxes)."
        )
    return model


class Predictor:
    """A copy of the model with Ultralytics' code around it, for one thread at a time."""

    def __init__(self, checkpoint: Any, options: PredictorOptions) -> None:
        import torch
        from ultralytics.models.yolo.detect import DetectionPredictor
        from ultralytics.utils.checks import check_imgsz

        base = checkpoint.task_map[checkpoint.task]["predictor"]
        overrides = {
            **checkpoint.overrides,
            "mode": "predict",
            "conf": 0.25,
            "iou": options.iou,
            "max_det": options.max_det,
            "classes": list(options.classes) if options.classes is not None else None,
            "agnostic_nms": options.agnostic_nms,
            "device": options.device,
            "rect": True,
            "save": False,
            "verbose": False,
        }
        if options.imgsz is not None:
            overrides["imgsz"] = options.imgsz
        threads = torch.get_num_threads()
        self._predictor = _without_letterbox(base)(overrides=overrides)
        self._predictor.setup_model(checkpoint.model, verbose=False)
        torch.set_num_threads(threads)  # setting up on a CPU sets it for the whole process
        model = self._predictor.model
        if model.format == "pt" and model.end2end:
            model.model.set_head_attr(
                max_det=max(options.max_det, 300), agnostic_nms=options.agnostic_nms
            )
        self._predictor.imgsz = check_imgsz(
            self._predictor.args.imgsz, stride=model.stride, min_dim=2
        )
        # Not RT-DETR, whose output has other dimensions, nor models that end with their boxes.
        self._has_nms = issubclass(base, DetectionPredictor) and not model.end2end
        network = _first_output(model)
        if options.device.type == "cuda":
            network = exact_convolutions()(network)
        self.forward: Forward = lambda boxed: network(self._predictor.preprocess(boxed))
        """The network: torch in f32 unless another is put here."""

    def reduce_precision(self, precision: Precision) -> None:
        """Turn torch's network to bf16 or f16, but for the decoding of boxes.

        The eight bits of mantissa of bf16 cannot tell pixel 600 from pixel 602, the eleven of f16
        know halves of pixels there.
        """
        import torch

        number = {"bf16": torch.bfloat16, "f16": torch.float16}[precision]
        model = self._predictor.model
        network = model.backend.model
        network.to(number)
        _decode_in_f32(network.model[-1], number)
        reduced = _first_output(model)
        preprocess = self._predictor.preprocess
        self.forward = lambda boxed: reduced(preprocess(boxed).to(number)).float()

    def prepare(self, image: PIL.Image.Image) -> PreparedImage:
        """Convert and letterbox an image of any mode. May be called from any thread.

        The conversion is that of Ultralytics for PIL images: EXIF orientation applied, 16-bit grey
        scaled to 8 bits, everything else as `image.convert("RGB")`.
        """
        from ultralytics.data.loaders import LoadPilAndNumpy

        channels = getattr(self._predictor.model, "channels", 3)
        if channels == 3 and image.mode == "RGB" and image.getexif().get(Base.Orientation, 1) == 1:
            # The same boxed image as below, without a copy of the whole one that Pillow makes, and
            # with its channels swapped when it is small.
            original = np.asarray(image)
            boxed = cv2.cvtColor(self._predictor.letterbox([original])[0], cv2.COLOR_RGB2BGR)
            return PreparedImage(original=original, boxed=boxed)
        original = LoadPilAndNumpy([image], channels=channels).im0[0]
        return PreparedImage(original=original, boxed=self._predictor.letterbox([original])[0])

    def run(self, prepared: Sequence[PreparedImage], conf: float) -> list[np.ndarray]:
        """Detect on images whose boxed shapes are equal.

        Args:
            prepared: What `prepare` gave.
            conf: Least confidence, 0 to 1.

        Returns:
            For each image an array (n, 6): x1, y1, x2, y2 in pixels of the original image,
            confidence, class; the most confident first.
        """
        import torch

        predictor = self._predictor
        predictor.args.conf = conf
        found = []
        with torch.inference_mode():
            boxed = [image.boxed for image in prepared]
            raw = self.forward(boxed)
            # Its shape says how the boxes are to be scaled.
            batch = torch.from_numpy(boxed[0]).permute(2, 0, 1)[None]
            own = raw.split(1)
            if raw.device.type != "cpu":
                own = likely_boxes(raw, conf) if self._has_nms else raw.cpu().split(1)
            # NMS has a time limit for a batch and silently leaves out the images after it.
            for image, candidates in zip(prepared, own, strict=True):
                predictor.batch = (["image.jpg"], [image.original], [""])
                results = predictor.postprocess(candidates, batch, [image.original])
                found.append(results[0].boxes.data.numpy())
        return found


def likely_boxes(raw: Any, conf: float) -> list[Any]:
    """What NMS needs of each image, in the processor's memory.

    On a GPU the twenty small steps of NMS are launched one by one, and some wait for the one
    before, for each image anew. So boxes that are not confident enough, nearly all, are left out
    there, which is NMS's own first step, and the rest is fetched at once.

    Args:
        raw: A network's output, (images, 4 + classes, boxes), on any device.
        conf: Least confidence, 0 to 1.

    Returns:
        For each image a tensor (1, 4 + classes, fewer boxes).
    """
    import torch

    likely = raw[:, 4:].amax(1) > conf
    counts = likely.sum(1).tolist()
    rows = raw.transpose(1, 2)[likely].cpu().split(counts)
    # Ultralytics takes an output with a last dimension of 6 for one that needs no NMS; boxes
    # without any confidence make it longer and are left out by NMS.
    return [torch.nn.functional.pad(image.T[None], (0, 7)) for image in rows]


def _without_letterbox(base: type) -> type:
    """The predictor class with letterboxing split off, so that it can run in other threads."""

    def unchanged(self: Any, images: list[np.ndarray]) -> list[np.ndarray]:
        return images

    return type(
        "Predictor",
        (base,),
        {"letterbox": base.pre_transform, "pre_transform": unchanged},  # type: ignore[attr-defined]
    )


def _first_output(model: Any) -> Forward:
    def forward(batch: Any) -> Any:
        raw = model(batch)
        return raw[0] if isinstance(raw, (list, tuple)) else raw

    return forward


def _decode_in_f32(head: Any, number: Any) -> None:
    """Leave only the convolutions of a detection head in `number`: a list of them an output."""
    import torch
    from ultralytics.nn.modules.head import Detect

    if not isinstance(head, Detect):
        return  # another family of models; it decodes in its own way
    head.dfl.float()
    head.register_forward_pre_hook(lambda _, args: ([level.float() for level in args[0]],))
    for levels in head.children():
        if isinstance(levels, torch.nn.ModuleList):
            for level in levels:
                level.register_forward_pre_hook(lambda _, args: (args[0].to(number), *args[1:]))
                level.register_forward_hook(lambda *call: call[-1].float())
