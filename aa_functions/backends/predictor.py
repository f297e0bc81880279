"""An Ultralytics predictor in separate steps: prepare an image, run prepared images, read boxes.

Each step calls Ultralytics' code, so that the boxes are those of its `predict`. `predict` itself is
not used because it runs a list as one batch, pads images to the largest of the list, drops images
when its NMS exceeds a time limit, and is not thread-safe.
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
from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.errors import YoloOptionError
from aa_functions.pictures import is_deep, to_rgb

Forward = Callable[[Sequence[np.ndarray]], Any]
"""Runs the network on boxed images of one shape, (height, width, 3), BGR, 8 bits.

Returns its raw output, a tensor (images, 4 + classes, boxes).
"""


@frozen(kw_only=True)
class PredictorOptions:
    """Options for Ultralytics' predictor; see `aa_functions.yolo.create`."""

    imgsz: int | tuple[int, int] | None
    iou: float
    max_det: int
    classes: tuple[int, ...] | None
    agnostic_nms: bool
    device: Any
    precision: Precision


@frozen(kw_only=True)
class PreparedImage:
    """An image that is ready for the network."""

    original: np.ndarray
    """(height, width, channels), 8 bits. Ultralytics needs its shape to scale the boxes back."""
    boxed: np.ndarray
    """Scaled and padded to the input size, BGR. Equal original shapes give equal boxed shapes."""


def load_checkpoint(path: Path) -> Any:
    """Return Ultralytics' model object of a detection checkpoint.

    Raises:
        YoloOptionError: if the file is not an Ultralytics checkpoint, or is for another task.
    """
    ultralytics = import_ultralytics()
    if path.suffix != ".pt":
        raise YoloOptionError(
            f"'{path.name}' is not an Ultralytics checkpoint (*.pt): give the .pt file, from which "
            "other formats are exported as needed."
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
    """A copy of the model with Ultralytics' code around it. One thread at a time may use it."""

    uses_torch = True

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
            "device": torch.device(str(options.device)),
            "rect": True,
            "save": False,
            "verbose": False,
        }
        if options.imgsz is not None:
            overrides["imgsz"] = options.imgsz
        threads = torch.get_num_threads()
        self._predictor = _without_letterbox(base)(overrides=overrides)
        self._predictor.setup_model(checkpoint.model, verbose=False)
        torch.set_num_threads(threads)  # setup_model changes it for the whole process
        model = self._predictor.model
        if model.format == "pt" and model.end2end:
            model.model.set_head_attr(
                max_det=max(options.max_det, 300), agnostic_nms=options.agnostic_nms
            )
        self._predictor.imgsz = check_imgsz(
            self._predictor.args.imgsz, stride=model.stride, min_dim=2
        )
        # False for RT-DETR, whose output has other dimensions, and for models without NMS.
        self._has_nms = issubclass(base, DetectionPredictor) and not model.end2end
        network = _first_output(model)
        if options.device.type == "cuda":
            network = exact_convolutions()(network)
        self.forward: Forward = lambda boxed: network(self._predictor.preprocess(boxed))
        """The network: torch in f32, unless it is replaced."""

    def reduce_precision(self, precision: Precision) -> None:
        """Convert torch's network to bf16 or f16, except for the decoding of boxes.

        With its 8 bits of mantissa, bf16 cannot tell pixel 600 from pixel 602. The 11 bits of f16
        give half pixels there.
        """
        import torch

        dtype = {"bf16": torch.bfloat16, "f16": torch.float16}[precision]
        model = self._predictor.model
        network = model.backend.model
        network.to(dtype)
        _decode_in_f32(network.model[-1], dtype)
        reduced = _first_output(model)
        preprocess = self._predictor.preprocess
        self.forward = lambda boxed: reduced(preprocess(boxed).to(dtype)).float()

    def prepare(self, image: PIL.Image.Image) -> PreparedImage:
        """Convert and letterbox an image of any mode. Any thread may call it.

        Converts as Ultralytics does: applies the EXIF orientation, and uses `image.convert("RGB")`.
        Grey of more than 8 bits is scaled by `aa_functions.pictures.to_rgb`. Raises PictureError.
        """
        from ultralytics.data.loaders import LoadPilAndNumpy

        channels = getattr(self._predictor.model, "channels", 3)
        if channels == 3 and image.mode == "RGB" and image.getexif().get(Base.Orientation, 1) == 1:
            # Gives the same as below, but does not copy the whole image, and swaps the channels of
            # the small one.
            original = np.asarray(image)
            boxed = cv2.cvtColor(self._predictor.letterbox([original])[0], cv2.COLOR_RGB2BGR)
            return PreparedImage(original=original, boxed=boxed)
        if is_deep(image):
            image = to_rgb(image)
        original = LoadPilAndNumpy([image], channels=channels).im0[0]
        return PreparedImage(original=original, boxed=self._predictor.letterbox([original])[0])

    def run(self, prepared: Sequence[PreparedImage], conf: float) -> list[np.ndarray]:
        """Detect on images whose boxed shapes are equal.

        Args:
            prepared: What `prepare` returned.
            conf: Minimum confidence, 0 to 1.

        Returns:
            For each image an array (n, 6): x1, y1, x2, y2 in pixels of the original image,
            confidence, class; sorted by falling confidence.
        """
        import torch

        predictor = self._predictor
        predictor.args.conf = conf
        found = []
        with torch.inference_mode():
            boxed = [image.boxed for image in prepared]
            raw = self.forward(boxed)
            # Ultralytics scales the boxes by the shape of this tensor.
            batch = torch.from_numpy(boxed[0]).permute(2, 0, 1)[None]
            own = raw.split(1)
            if raw.device.type != "cpu":
                own = likely_boxes(raw, conf) if self._has_nms else raw.cpu().split(1)
            # One image at a time: NMS has a time limit for a batch and silently drops the rest.
            for image, candidates in zip(prepared, own, strict=True):
                predictor.batch = (["image.jpg"], [image.original], [""])
                results = predictor.postprocess(candidates, batch, [image.original])
                found.append(results[0].boxes.data.numpy())
        return found


def likely_boxes(raw: Any, conf: float) -> list[Any]:
    """Return the boxes that can survive NMS, in the memory of the CPU.

    NMS consists of some twenty small steps for each image, which a GPU launches one by one. So NMS
    runs on the CPU. Its first step, dropping the boxes below the minimum confidence, which are
    nearly all, is done on the GPU, so that little is copied.

    Args:
        raw: A network's output, (images, 4 + classes, boxes), on any device.
        conf: Minimum confidence, 0 to 1.

    Returns:
        For each image a tensor (1, 4 + classes, fewer boxes).
    """
    import torch

    likely = raw[:, 4:].amax(1) > conf
    counts = likely.sum(1).tolist()
    rows = raw.transpose(1, 2)[likely].cpu().split(counts)
    # Ultralytics takes a last dimension of 6 for an output that needs no NMS. Boxes of confidence 0
    # make it longer, and NMS drops them.
    return [torch.nn.functional.pad(image.T[None], (0, 7)) for image in rows]


def _without_letterbox(base: type) -> type:
    """Return the predictor class with letterboxing as a separate method, for other threads."""

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


def _decode_in_f32(head: Any, dtype: Any) -> None:
    """Convert a detection head back to f32, except its convolutions, one list of them a level."""
    import torch
    from ultralytics.nn.modules.head import Detect

    if not isinstance(head, Detect):
        return  # another family of models decodes differently
    head.dfl.float()
    head.register_forward_pre_hook(lambda _, args: ([level.float() for level in args[0]],))
    for levels in head.children():
        if isinstance(levels, torch.nn.ModuleList):
            for level in levels:
                level.register_forward_pre_hook(lambda _, args: (args[0].to(dtype), *args[1:]))
                level.register_forward_hook(lambda *call: call[-1].float())
