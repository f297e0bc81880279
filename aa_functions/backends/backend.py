"""Choose what runs a network: torch, OpenVINO or ONNX Runtime, and in which precision."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any, Literal

from aa_functions.backends.device import Precision
from aa_functions.backends.openvino_forward import import_openvino
from aa_functions.errors import YoloOptionError

Backend = Literal["torch", "onnx", "openvino"]
REQUIRED_PACKAGES = {"openvino": ("openvino",), "onnx": ("onnx", "onnxruntime")}

logger = logging.getLogger(__name__)


def choose_backend(backend: str, *, device: Any, precision: Precision) -> Backend:
    """Return the backend to use.

    Args:
        backend: `torch`, `openvino`, `onnx`, or `auto`: the fastest that is installed and suits
            device and precision.
        device: What `choose_device` returned.
        precision: What `choose_precision` returned.

    Raises:
        YoloOptionError: if the backend is unknown or not installed, or does not support the device
            or the precision.
    """
    if backend == "torch":
        return "torch"
    if backend == "auto":
        if device.type != "cpu" or precision == "f16":
            return "torch"
        if not _missing_packages("openvino"):
            return "openvino"
        return "onnx" if precision == "f32" and not _missing_packages("onnx") else "torch"
    if backend not in ("onnx", "openvino"):
        raise YoloOptionError(
            f"The backend {backend!r} is unknown; use 'auto', 'torch', 'onnx' or 'openvino'."
        )
    missing = _missing_packages(backend)
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


def _missing_packages(backend: str) -> list[str]:
    names = REQUIRED_PACKAGES[backend]
    return [name for name in names if importlib.util.find_spec(name) is None]


def supported_precision(backend: Backend, precision: Precision) -> Precision:
    """Return the precision that the backend really computes in on this machine.

    OpenVINO silently computes in f32 if the processor cannot compute in bf16. Then this logs a
    warning and returns `f32`, so that the fingerprint of the function tells the truth.
    """
    if backend != "openvino" or precision != "bf16":
        return precision
    core = import_openvino().Core()
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return precision
    logger.warning(
        "The processor '%s' does not support precision 'bf16': the model runs in 'f32' instead.",
        core.get_property("CPU", "FULL_DEVICE_NAME"),
    )
    return "f32"
