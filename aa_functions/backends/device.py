"""Choose the device, the precision and the number of threads that a YOLO model runs with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from aa_functions.errors import YoloOptionError

Precision = Literal["f32", "f16", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("f32", "f16", "bf16")

_exact = threading.Lock()


def choose_device(device: str) -> Any:
    """Return the `torch.device` for `auto` (CUDA where there is one, else the CPU) or a name.

    Raises:
        YoloOptionError: if there is no such device.
    """
    import torch

    name = device.strip().lower()
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
                f"The device {device!r} is not here: torch {torch.__version__} sees {count} CUDA "
                "devices; use 'cpu' or 'auto', or install a CUDA build of torch."
            )
        return torch.device("cuda", chosen.index or 0)
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise YoloOptionError(f"The device {device!r} is not here; use 'cpu' or 'auto'.")
    if chosen.type not in {"cpu", "mps"}:
        raise YoloOptionError(f"The device {device!r} is not supported; use 'cpu' or 'cuda'.")
    return chosen


def choose_precision(precision: str, *, half: bool, device: Any) -> Precision:
    """Return the precision to run in.

    Args:
        precision: `f32`, `f16` or `bf16`.
        half: Short for `f16`.
        device: What `choose_device` gave.

    Raises:
        YoloOptionError: for an unknown one, two that differ, or `f16` on a CPU.
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
    """Let cuDNN multiply f32 as such.

    By default torch lets it round to TF32, ten bits of mantissa: boxes would depend on the device,
    and on the way that cuDNN takes for a batch of this size. The setting is the whole process's.
    """
    from torch.backends import cudnn

    with (
        _exact,
        cudnn.flags(
            enabled=cudnn.enabled,
            benchmark=cudnn.benchmark,
            deterministic=cudnn.deterministic,
            allow_tf32=False,
        ),
    ):
        yield
