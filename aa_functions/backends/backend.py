"""Run a checkpoint's network with OpenVINO or ONNX Runtime in place of torch.

The network is exported once and kept in `exports/` of the user's weights folder under the hash of
the weights. An export is used only after its raw output on a test pattern agreed with torch's.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from aa_functions.backends.device import Precision
from aa_functions.backends.predictor import Forward
from aa_functions.backends.setup import import_ultralytics
from aa_functions.errors import YoloOptionError, describe
from aa_functions.fingerprint import file_digest, package_version
from aa_functions.weights import user_weights_folder

Backend = Literal["torch", "onnx", "openvino"]
NEEDED = {"openvino": ("openvino",), "onnx": ("onnx", "onnxruntime")}
LARGEST_DIFFERENCE = 0.02
"""Of raw outputs: pixels for boxes, shares for scores. Rounding errors are a hundredth of it."""

_exporting = threading.Lock()


def choose_backend(backend: str, *, device: Any, precision: Precision) -> Backend:
    """Return the backend to use; `auto` is the fastest that is installed and gives f32 results.

    Raises:
        YoloOptionError: for an unknown one, one that is not installed, or one that cannot run on
            the device or in the precision.
    """
    if backend == "torch":
        return "torch"
    if backend == "auto":
        if device.type != "cpu" or precision == "f16":
            return "torch"
        if not _missing("openvino"):
            return "openvino"
        return "onnx" if precision == "f32" and not _missing("onnx") else "torch"
    if backend not in ("onnx", "openvino"):
        raise YoloOptionError(
            f"The backend {backend!r} is unknown; use 'auto', 'torch', 'onnx' or 'openvino'."
        )
    missing = _missing(backend)
    if missing:
        raise YoloOptionError(
            f"The backend '{backend}' needs {' and '.join(missing)}: "
            f"pip install {' '.join(missing)}"
        )
    if device.type != "cpu":
        raise YoloOptionError(
            f"The backend '{backend}' runs on the CPU only, but the device is '{device}'; use "
            "backend='torch' there."
        )
    if backend == "onnx":
        if precision != "f32":
            raise YoloOptionError(
                f"The backend 'onnx' runs in f32 only, but precision is '{precision}'; use "
                "'openvino' or 'torch'."
            )
        return "onnx"
    return "openvino"


def _missing(backend: str) -> list[str]:
    return [name for name in NEEDED[backend] if importlib.util.find_spec(name) is None]


def exported(weights: Path, backend: Backend, reference: Forward) -> Path:
    """Path of the network in the backend's own format; exported now if it was not before.

    Args:
        weights: The checkpoint.
        backend: `openvino` or `onnx`.
        reference: The same network in torch.

    Raises:
        YoloOptionError: if exporting fails, or the export does not agree with torch.
    """
    ending = "onnx" if backend == "onnx" else "openvino_model"
    folder = user_weights_folder() / "exports"
    versions = "-".join(str(package_version(name)) for name in ("ultralytics", NEEDED[backend][-1]))
    target = folder / f"{file_digest(weights)[:20]}-{versions}.{ending}"
    with _exporting:
        if not target.exists():
            _export_to(target, weights, backend, reference)
    return target


def _export_to(target: Path, weights: Path, backend: Backend, reference: Forward) -> None:
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
            # Ultralytics writes an export beside the weights, under their name.
            copy = Path(scratch) / "model.pt"
            shutil.copyfile(weights, copy)
            made = Path(_export(copy, backend))
            _check_agreement(made, backend, reference)
            if not target.exists():  # another process may have been faster
                made.replace(target)
    except YoloOptionError:
        raise
    except Exception as error:
        if target.exists():
            return
        raise YoloOptionError(
            f"'{weights.name}' could not be exported for the backend '{backend}' into '{folder}' "
            f"({describe(error)}); use backend='torch'."
        ) from error


def _export(weights: Path, backend: Backend) -> str:
    ultralytics = import_ultralytics()
    if backend == "openvino":
        _import_openvino()
    options: dict[str, Any] = {"simplify": False} if backend == "onnx" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own exporters
        return str(
            ultralytics.YOLO(str(weights)).export(
                format=backend, dynamic=True, device="cpu", verbose=False, **options
            )
        )


def _check_agreement(made: Path, backend: Backend, reference: Forward) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    # Not the shape that it was exported with: a wrong dynamic shape shows here.
    coarse = torch.rand(1, 3, 12, 16, generator=generator)
    pattern = torch.nn.functional.interpolate(coarse, (192, 256), mode="bilinear")
    image = pattern[0].permute(1, 2, 0).mul(255).byte().numpy()
    forward = open_forward(made, backend, threads=1, precision="f32")
    with torch.inference_mode():
        wanted, got = reference([image]), forward([image])
    if wanted.shape != got.shape or (wanted - got).abs().max().item() > LARGEST_DIFFERENCE:
        raise YoloOptionError(
            f"The export of the weights for the backend '{backend}' gives other results than "
            "torch; use backend='torch'."
        )


def open_forward(path: Path, backend: Backend, *, threads: int, precision: Precision) -> Forward:
    """Load an export as a function that one thread at a time may call.

    Args:
        path: What `exported` gave.
        backend: `openvino` or `onnx`.
        threads: Processor threads that a call may use.
        precision: `f32`, or with OpenVINO `bf16`.
    """
    if backend == "onnx":
        return _open_onnx(path, threads)
    return _open_openvino(path, threads, precision)


_first_use = threading.Lock()


def _open_openvino(path: Path, threads: int, precision: Precision) -> Forward:
    import torch

    requests: dict[tuple[int, ...], Any] = {}
    any_shape = ()

    def forward(boxed: Sequence[np.ndarray]) -> Any:
        images = boxed[0][None] if len(boxed) == 1 else np.stack(boxed)
        # A network for one shape is 7 % faster than one for any. The first shape gets one: mostly
        # the images of a task have the same.
        shape = images.shape if images.shape in requests or not requests else any_shape
        if shape not in requests:
            requests[shape] = _compile(path, threads, precision, shape).create_infer_request()
            # OpenVINO makes tables when it is used first. Two threads that get there at the same
            # time wait for each other for ever: one for the interpreter's lock, its holder for the
            # table.
            with _first_use:
                requests[shape].infer([images], share_inputs=True)
        else:
            requests[shape].infer([images], share_inputs=True)
        return torch.from_numpy(requests[shape].get_output_tensor(0).data.copy())

    return forward


def _compile(path: Path, threads: int, precision: Precision, shape: tuple[int, ...]) -> Any:
    """The network for images (N, H, W, 3), BGR, 8 bits; of any shape if it is ()."""
    openvino = _import_openvino()
    from openvino.preprocess import ColorFormat, PrePostProcessor

    core = openvino.Core()
    network = core.read_model(next(path.glob("*.xml")))
    if shape:
        count, height, width, channels = shape
        network.reshape([count, channels, height, width])
    before = PrePostProcessor(network)
    image = before.input()
    image.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    image.tensor().set_color_format(ColorFormat.BGR)
    image.model().set_layout(openvino.Layout("NCHW"))
    image.preprocess().convert_element_type(openvino.Type.f32)
    image.preprocess().convert_color(ColorFormat.RGB).scale(255.0)
    return core.compile_model(
        before.build(),
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            # Without it OpenVINO takes bf16 by itself where the processor has it.
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Each copy of the model would pin its threads to the same first cores.
            "ENABLE_CPU_PINNING": False,
        },
    )


def _import_openvino() -> Any:
    # Its converter reports each use over the network unless this package is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _open_onnx(path: Path, threads: int) -> Forward:
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def forward(boxed: Sequence[np.ndarray]) -> Any:
        batch = cv2.dnn.blobFromImages(boxed, 1 / 255, swapRB=True)
        return torch.from_numpy(session.run(None, {name: batch})[0])

    return forward
