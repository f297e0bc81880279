"""YOLOv8n trained by this project on circles, squares, triangles and stars.

The module itself is the function, and its weights are shipped with it: it is what the demo uses,
and what to try the pipeline with where there is no network. What it reaches is in
`aa_functions/weights/README.md`. The model is licensed under AGPL-3.0.
"""

from __future__ import annotations

from typing import Any

from cvat_sdk.auto_annotation import DetectionFunctionSpec

from aa_functions.lazy import LazyFunction
from aa_functions.weights import SHIPPED_FOLDER
from aa_functions.yolo import create as _create

spec: DetectionFunctionSpec

_function = LazyFunction(lambda: _create(SHIPPED_FOLDER / "shapes-yolov8n.pt"))

detect = _function.detect
detect_batch = _function.detect_batch
fingerprint_inputs = _function.fingerprint_inputs


def __getattr__(name: str) -> Any:
    if name == "spec":
        return _function.spec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
