"""Export a checkpoint's network for OpenVINO or ONNX Runtime, and open the export.

A network is exported once and kept in `exports/` of the user's weights folder under the hash of the
weights. An export is used only if its raw output on a test image agrees with torch's.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from aa_functions.backends.backend import REQUIRED_PACKAGES, Backend
from aa_functions.backends.device import Precision
from aa_functions.backends.openvino_forward import (
    ExportForward,
    OpenVinoNetwork,
    import_openvino,
)
from aa_functions.backends.predictor import Predictor
from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.errors import YoloOptionError, describe
from aa_functions.fingerprint import file_digest, package_version
from aa_functions.weights import user_weights_folder

MAX_DIFFERENCE = 0.02
"""Between raw outputs: in pixels for boxes, 0 to 1 for scores. Rounding errors are a hundredth."""

_exporting = threading.Lock()


def export_network(weights: Path, backend: Backend, predictor: Predictor) -> Path:
    """Return the network in the backend's format; export it if that was not done before.

    Args:
        weights: The checkpoint.
        backend: `openvino` or `onnx`.
        predictor: One with the same network in torch, to compare with.

    Raises:
        YoloOptionError: if the export fails, or does not agree with torch.
    """
    target = export_path(weights, backend)
    with _exporting:
        if not target.exists():
            _export_to(target, weights, backend, predictor)
    return target


def export_path(weights: Path, backend: Backend) -> Path:
    """Return where the export of a checkpoint is kept."""
    ending = "onnx" if backend == "onnx" else "openvino_model"
    packages = ("ultralytics", REQUIRED_PACKAGES[backend][-1])
    versions = "-".join(str(package_version(name)) for name in packages)
    return exports_folder() / f"{file_digest(weights)[:20]}-{versions}.{ending}"


def facts_path(weights: Path) -> Path:
    """Return where the facts of a checkpoint are kept; see `aa_functions.backends.facts`."""
    version = package_version("ultralytics")
    return exports_folder() / f"{file_digest(weights)[:20]}-{version}.json"


def exports_folder() -> Path:
    """Return the folder of the exports."""
    return user_weights_folder() / "exports"


def _export_to(target: Path, weights: Path, backend: Backend, predictor: Predictor) -> None:
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
            # Ultralytics writes an export beside the weights, under their name.
            copy = Path(scratch) / "model.pt"
            shutil.copyfile(weights, copy)
            export = Path(_export(copy, backend, predictor.input_shape))
            _check_agreement(export, backend, predictor)
            if not target.exists():  # another process may have been faster
                export.replace(target)
    except YoloOptionError:
        raise
    except Exception as error:
        if target.exists():
            return
        raise YoloOptionError(
            f"'{weights.name}' could not be exported for the backend '{backend}' into '{folder}' "
            f"({describe(error)}); use backend='torch'."
        ) from error


def _export(weights: Path, backend: Backend, shape: tuple[int, int] | None) -> str:
    ultralytics = import_ultralytics()
    if backend == "openvino":
        import_openvino()
    options: dict[str, Any] = {"simplify": False} if backend == "onnx" else {}
    if shape is not None:
        options["imgsz"] = shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its own exporters
        return str(
            ultralytics.YOLO(str(weights)).export(
                format=backend, dynamic=True, device="cpu", verbose=False, **options
            )
        )


def _check_agreement(export: Path, backend: Backend, predictor: Predictor) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    # Not the shape of the export, if possible: this also checks that the network takes others.
    shape = predictor.input_shape or (192, 256)
    coarse = torch.rand(1, 3, 12, 16, generator=generator)
    pattern = torch.nn.functional.interpolate(coarse, shape, mode="bilinear")
    image = pattern[0].permute(1, 2, 0).mul(255).byte().numpy()
    forward = open_export(export, backend, threads=1, copies=1, precision="f32")()
    with torch.inference_mode():
        expected, found = predictor.forward([image]), forward([image])
    if len(expected) != len(found) or not all(map(_agree, expected, found)):
        raise YoloOptionError(
            f"The export of the weights for the backend '{backend}' gives other results than "
            "torch; use backend='torch'."
        )


def _agree(expected: Any, found: np.ndarray) -> bool:
    return bool(
        expected.shape == found.shape and np.abs(expected.numpy() - found).max() <= MAX_DIFFERENCE
    )


def open_export(
    path: Path, backend: Backend, *, threads: int, copies: int, precision: Precision
) -> Callable[[], ExportForward]:
    """Load an export.

    Args:
        path: What `export_network` returned.
        backend: `openvino` or `onnx`.
        threads: Number of processor threads that a call may use.
        copies: Number of threads that use the network at the same time.
        precision: `f32`, or `bf16` with OpenVINO.

    Returns:
        Makes a function that runs the network, for one thread at a time.
    """
    if backend == "onnx":
        forward = _open_onnx(path, threads)
        return lambda: forward  # Any number of threads may use it.
    network = OpenVinoNetwork(path, threads=threads, copies=copies, precision=precision)
    return network.new_copy


def _open_onnx(path: Path, threads: int) -> ExportForward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def forward(boxed: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        batch = cv2.dnn.blobFromImages(boxed, 1 / 255, swapRB=True)
        return tuple(session.run(None, {name: batch}))

    return forward
