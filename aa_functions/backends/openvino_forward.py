"""Run an exported network with OpenVINO."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aa_functions.backends.device import Precision

ExportForward = Callable[[Sequence[np.ndarray]], tuple[np.ndarray, ...]]
"""Runs an exported network on boxed images of one shape, (height, width, 3), BGR, 8 bits.

Returns its raw outputs, whose first dimension is the image.
"""

_first_inference = threading.Lock()


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    Its converter reports each use over the network unless this package is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


class OpenVinoNetwork:
    """An export in OpenVINO, compiled once for all copies. Thread-safe."""

    def __init__(self, path: Path, *, threads: int, copies: int, precision: Precision) -> None:
        """See `aa_functions.backends.export.open_export`."""
        self._path = path
        self._threads = threads
        self._copies = copies
        self._precision = precision
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()

    def new_copy(self) -> ExportForward:
        """Return a function that runs the network. Only one thread at a time may call it."""
        requests: dict[tuple[int, ...], Any] = {}

        def forward(boxed: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
            images = boxed[0][None] if len(boxed) == 1 else np.stack(boxed)
            shape, compiled = self._for_shape(images.shape)
            if shape not in requests:
                requests[shape] = compiled.create_infer_request()
                # On its first inference OpenVINO builds tables. Two threads that do so at the same
                # time deadlock: one holds the table and waits for the GIL, the other the reverse.
                with _first_inference:
                    requests[shape].infer([images], share_inputs=True)
            else:
                requests[shape].infer([images], share_inputs=True)
            return tuple(tensor.data.copy() for tensor in requests[shape].output_tensors)

        return forward

    def _for_shape(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Any]:
        """Return the network for images of a shape, and the shape for which it is compiled.

        A network for one shape is faster than one for any shape, (). The first shape gets its own
        network, because most images of a task have the same shape.
        """
        with self._lock:
            key = shape if shape in self._compiled or not self._compiled else ()
            if key not in self._compiled:
                self._compiled[key] = _compile(
                    self._path, self._threads, self._copies, self._precision, key
                )
            return key, self._compiled[key]


def _compile(
    path: Path, threads: int, copies: int, precision: Precision, shape: tuple[int, ...]
) -> Any:
    """Compile the network for images (N, H, W, 3), BGR, 8 bits; for any shape if it is ()."""
    openvino = import_openvino()
    from openvino.preprocess import ColorFormat, PrePostProcessor

    core = openvino.Core()
    network = core.read_model(next(path.glob("*.xml")))
    if shape:
        count, height, width, channels = shape
        network.reshape([count, channels, height, width])
    processor = PrePostProcessor(network)
    image = processor.input()
    image.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    image.tensor().set_color_format(ColorFormat.BGR)
    image.model().set_layout(openvino.Layout("NCHW"))
    image.preprocess().convert_element_type(openvino.Type.f32)
    image.preprocess().convert_color(ColorFormat.RGB).scale(255.0)
    return core.compile_model(
        processor.build(),
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY" if copies == 1 else "THROUGHPUT",
            # By default OpenVINO uses bf16 if the processor supports it.
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads * copies,
            "NUM_STREAMS": copies,
            # With pinning, all networks would use the same first cores.
            "ENABLE_CPU_PINNING": False,
        },
    )
