"""An Ultralytics predictor in separate steps: prepare an image, run prepared images, read results.

Preparing calls Ultralytics' code, and `aa_functions.kinds` reads the network's output as it does,
so the results are those of its `predict`. `predict` itself is not used because it runs a list as
one batch, pads images to the largest of the list, drops images when its NMS exceeds a time limit,
and is not thread-safe.
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
from aa_functions.kinds.kind import ImageShapes, Kind, ModelInfo
from aa_functions.pictures import is_deep, to_rgb

Forward = Callable[[Sequence[np.ndarray]], tuple[Any, ...]]
"""Runs the network on boxed images of one shape, (height, width, 3), BGR, 8 bits.

Returns its raw outputs, as tensors or numpy arrays whose first dimension is the image.
"""


@frozen(kw_only=True)
class PredictorOptions:
    """Options for Ultralytics' predictor; see `aa_functions.yolo.create`."""

    imgsz: int | tuple[int, int] | None
    device: Any
    precision: Precision


@frozen(kw_only=True)
class PreparedImage:
    """An image that is ready for the network."""

    original: np.ndarray
    """(height, width, channels), 8 bits."""
    boxed: np.ndarray
    """Scaled and padded to the input size, BGR. Equal original shapes give equal boxed shapes."""

    @property
    def shapes(self) -> ImageShapes:
        """The sizes of both."""
        return ImageShapes(boxed=self.boxed.shape[:2], original=self.original.shape[:2])


def load_checkpoint(path: Path) -> Any:
    """Return Ultralytics' model object of a checkpoint.

    Raises:
        YoloOptionError: if the file is not an Ultralytics checkpoint.
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
    return model


def model_info(checkpoint: Any, name: str) -> ModelInfo:
    """Return what a checkpoint says about its model.

    Args:
        checkpoint: What `load_checkpoint` returned.
        name: File name of the checkpoint.
    """
    network = checkpoint.model
    if hasattr(network, "end2end"):
        network.end2end = False  # as `predict` does: the head with NMS, if there are two
    shape = getattr(network.model[-1], "kpt_shape", None)
    return ModelInfo(
        name=name,
        task=checkpoint.task,
        labels={int(number): str(label) for number, label in checkpoint.names.items()},
        has_nms=not getattr(network, "end2end", False) and not _is_rtdetr(network),
        is_rtdetr=_is_rtdetr(network),
        agnostic_nms=type(network.model[-1]).__name__.startswith("YOLOE"),
        keypoint_shape=None if shape is None else (int(shape[0]), int(shape[1])),
        keypoint_names=getattr(network, "kpt_names", None) or {},
    )


def _is_rtdetr(network: Any) -> bool:
    return type(network.model[-1]).__name__ == "RTDETRDecoder"


class Predictor:
    """A copy of the model with Ultralytics' code around it. One thread at a time may use it."""

    uses_torch = True

    def __init__(self, checkpoint: Any, kind: Kind, options: PredictorOptions) -> None:
        import torch
        from ultralytics.utils.checks import check_imgsz

        overrides = {
            **checkpoint.overrides,
            "mode": "predict",
            "device": torch.device(str(options.device)),
            "rect": True,
            "save": False,
            "verbose": False,
        }
        if options.imgsz is not None:
            overrides["imgsz"] = options.imgsz
        threads = torch.get_num_threads()
        base = checkpoint.task_map[checkpoint.task]["predictor"]
        self._kind = kind
        self._predictor = _without_letterbox(base)(overrides=overrides)
        self._predictor.setup_model(checkpoint.model, verbose=False)
        torch.set_num_threads(threads)  # setup_model changes it for the whole process
        model = self._predictor.model
        self._predictor.imgsz = check_imgsz(
            self._predictor.args.imgsz, stride=model.stride, min_dim=2
        )
        self._crop = _centre_crop(self._predictor) if checkpoint.task == "classify" else None
        network = _outputs(model)
        if options.device.type == "cuda":
            network = exact_convolutions()(network)
        self.forward: Forward = lambda boxed: network(self._predictor.preprocess(boxed))
        """The network: torch in f32, unless it is replaced."""

    @property
    def input_shape(self) -> tuple[int, int] | None:
        """Height and width of the input, if all images are brought to them."""
        is_fixed = self._predictor.scale_fill or self._crop is not None
        return tuple(self._predictor.imgsz) if is_fixed else None

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
        reduced = _outputs(model)
        preprocess = self._predictor.preprocess
        self.forward = lambda boxed: tuple(
            output.float() for output in reduced(preprocess(boxed).to(dtype))
        )

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
            if self._crop is not None:
                boxed = np.ascontiguousarray(self._crop(original)[..., ::-1])
                return PreparedImage(original=original, boxed=boxed)
            boxed = cv2.cvtColor(self._predictor.letterbox([original])[0], cv2.COLOR_RGB2BGR)
            return PreparedImage(original=original, boxed=boxed)
        if is_deep(image):
            image = to_rgb(image)
        original = LoadPilAndNumpy([image], channels=channels).im0[0]
        if self._crop is not None:
            return PreparedImage(original=original, boxed=self._crop(original))
        return PreparedImage(original=original, boxed=self._predictor.letterbox([original])[0])

    def run(self, prepared: Sequence[PreparedImage], conf: float) -> list[Any]:
        """Detect on images whose boxed shapes are equal.

        Args:
            prepared: What `prepare` returned.
            conf: Minimum confidence, 0 to 1.

        Returns:
            For each image what `Kind.read` returns.
        """
        import torch

        with torch.inference_mode():
            outputs = self.forward([image.boxed for image in prepared])
            own = split_outputs(outputs, conf, self._kind.score_rows)
        return [
            self._kind.read(raw, image.shapes, conf)
            for image, raw in zip(prepared, own, strict=True)
        ]


def split_outputs(
    outputs: Sequence[Any], conf: float, score_rows: int | None
) -> list[tuple[np.ndarray, ...]]:
    """Return the raw outputs of each image, in the memory of the CPU.

    A GPU first drops the boxes below the minimum confidence, which are nearly all, so that little
    is copied.

    Args:
        outputs: Of the network, on any device.
        conf: Minimum confidence, 0 to 1.
        score_rows: See `Kind`.
    """
    first, *others = outputs
    own: Any = _in_memory(first)
    if score_rows is not None and getattr(first, "is_cuda", False):
        likely = first[:, 4 : 4 + score_rows].amax(1) > conf
        counts = likely.sum(1).tolist()
        own = [rows.numpy().T for rows in first.transpose(1, 2)[likely].cpu().split(counts)]
    return list(zip(own, *map(_in_memory, others), strict=True))


def _in_memory(output: Any) -> np.ndarray:
    array: np.ndarray = output if isinstance(output, np.ndarray) else output.cpu().numpy()
    return array


def _without_letterbox(base: type) -> type:
    """Return the predictor class with letterboxing as a separate method, for other threads."""

    def unchanged(self: Any, images: list[np.ndarray]) -> list[np.ndarray]:
        return images

    return type(
        "Predictor",
        (base,),
        {"letterbox": base.pre_transform, "pre_transform": unchanged},  # type: ignore[attr-defined]
    )


def _centre_crop(predictor: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return what scales an image for classification, and cuts out its centre."""
    predictor.setup_source(np.zeros((32, 32, 3), np.uint8))  # chooses the transforms
    scale_and_cut, normalize = predictor.host_transforms, predictor.device_transform
    if scale_and_cut is None or any(normalize.mean.tolist()) or set(normalize.std.tolist()) != {1}:
        raise YoloOptionError(
            "The checkpoint prepares its images in a way of its own, which is not supported; save "
            "it again with a newer Ultralytics, or train it with the default transforms."
        )
    return lambda image: np.array(scale_and_cut(PIL.Image.fromarray(image)))


def _outputs(model: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return the model without the outputs that only training needs."""

    def forward(batch: Any) -> tuple[Any, ...]:
        raw = model(batch)
        first = raw[0] if isinstance(raw, (list, tuple)) else raw
        return tuple(first) if isinstance(first, (list, tuple)) else (first,)

    return forward


def _decode_in_f32(head: Any, dtype: Any) -> None:
    """Convert a detection head back to f32, except its convolutions, one list of them a level.

    The layers that make the small masks stay reduced, too.
    """
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
    if hasattr(head, "proto"):
        head.proto.register_forward_pre_hook(
            lambda _, args: (
                args[0].to(dtype)
                if isinstance(args[0], torch.Tensor)
                else [level.to(dtype) for level in args[0]],
            )
        )
