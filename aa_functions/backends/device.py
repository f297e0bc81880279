"""Choose the device and the precision that a YOLO model runs with."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from aa_functions.errors import YoloOptionError

Precision = Literal["f32", "f16", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("f32", "f16", "bf16")

_cudnn_flags = threading.Lock()


@frozen
class Cpu:
    """Stands for `torch.device("cpu")` where torch is not imported: that takes seconds."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


def choose_device(device: str) -> Any:
    """Return a `torch.device`, or Cpu.

    Args:
        device: `auto` (CUDA if there is one, else the CPU) or the name of a device.

    Raises:
        YoloOptionError: if there is no such device.
    """
    name = device.strip().lower()
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return Cpu()
    import torch

    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name.isdigit():
        name = f"cuda:{name}"
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise YoloOptionError(
            f"The device {device!r} is unknown; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise YoloOptionError(
                f"The device {device!r} does not exist: torch {torch.__version__} finds {count} "
                "CUDA devices; use 'cpu' or 'auto', or install a CUDA build of torch."
            )
        return torch.device("cuda", chosen.index or 0)
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise YoloOptionError(f"The device {device!r} does not exist; use 'cpu' or 'auto'.")
    if chosen.type not in {"cpu", "mps"}:
        raise YoloOptionError(f"The device {device!r} is not supported; use 'cpu' or 'cuda'.")
    return chosen


def _may_have_gpu() -> bool:
    """Tell without importing torch whether torch may find a GPU."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return True  # importing torch reports what is missing
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    if re.search(r"^hip\b.*=\s*None\s*$", text, re.MULTILINE) is None:
        return True
    if re.search(r"^cuda\b.*=\s*None\s*$", text, re.MULTILINE) is not None:
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False  # no driver
    return True


def choose_precision(precision: str, *, half: bool, device: Any) -> Precision:
    """Return the precision to compute in.

    Args:
        precision: `f32`, `f16` or `bf16`.
        half: Short for `f16`.
        device: What `choose_device` returned.

    Raises:
        YoloOptionError: if the precision is unknown, if `half` contradicts it, or for `f16` on a
            CPU.
    """
    if precision not in PRECISIONS:
        raise YoloOptionError(
            f"The precision {precision!r} is unknown; use {', '.join(PRECISIONS)}."
        )
    if half and precision == "bf16":
        raise YoloOptionError("half=True means precision 'f16', but precision is 'bf16'.")
    chosen: Precision = "f16" if half else precision
    if chosen == "f16" and device.type == "cpu":
        raise YoloOptionError(
            "Half precision (f16) needs a GPU; on this CPU use precision='f32', or 'bf16', which "
            "moves boxes by a few pixels."
        )
    return chosen


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Make cuDNN multiply f32 numbers without rounding them to TF32.

    Torch allows TF32 (10 bits of mantissa) by default. Boxes would then depend on the device and
    on the size of the batch. The setting affects the whole process while the block runs.
    """
    from torch.backends import cudnn

    with (
        _cudnn_flags,
        cudnn.flags(
            enabled=cudnn.enabled,
            benchmark=cudnn.benchmark,
            deterministic=cudnn.deterministic,
            allow_tf32=False,
        ),
    ):
        yield
