"""Run an exported network with OpenVINO."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aa_functions.backends.device import Precision
from aa_functions.backends.predictor import Forward

_first_inference = threading.Lock()


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    Its converter reports each use over the network unless this package is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def open_openvino(path: Path, threads: int, precision: Precision) -> Forward:
    """Load an export; see `aa_functions.backends.export.open_export`."""
    import torch

    requests: dict[tuple[int, ...], Any] = {}
    any_shape = ()

    def forward(boxed: Sequence[np.ndarray]) -> Any:
        images = boxed[0][None] if len(boxed) == 1 else np.stack(boxed)
        # A network for one shape is faster than one for any shape. The first shape gets its own
        # network, because most images of a task have the same shape.
        shape = images.shape if images.shape in requests or not requests else any_shape
        if shape not in requests:
            requests[shape] = _compile(path, threads, precision, shape).create_infer_request()
            # On its first inference OpenVINO builds tables. Two threads that do so at the same time
            # deadlock: one holds the table and waits for the GIL, the other the reverse.
            with _first_inference:
                requests[shape].infer([images], share_inputs=True)
        else:
            requests[shape].infer([images], share_inputs=True)
        return torch.from_numpy(requests[shape].get_output_tensor(0).data.copy())

    return forward


def _compile(path: Path, threads: int, precision: Precision, shape: tuple[int, ...]) -> Any:
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
            "PERFORMANCE_HINT": "LATENCY",
            # By default OpenVINO uses bf16 if the processor supports it.
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # With pinning, all copies of the model would use the same first cores.
            "ENABLE_CPU_PINNING": False,
        },
    )
