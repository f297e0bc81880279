"""A YOLOv8n that this project trained to detect circles, squares, triangles and stars.

The module itself is the function, and its weights are shipped. The demo uses it, and it lets you
try the pipeline without a network. `aa_functions/weights/README.md` says how good it is. The model
is licensed under AGPL-3.0.

>>> from aa_functions import shapes
>>> [label.name for label in shapes.spec.labels]
['circle', 'square', 'triangle', 'star']
"""

from __future__ import annotations

from typing import Any

from cvat_sdk.auto_annotation import DetectionFunctionSpec

from aa_functions.lazy import LazyFunction
from aa_functions.weights import SHIPPED_FOLDER
from aa_functions.yolo import YoloDetection
from aa_functions.yolo import create as _create

spec: DetectionFunctionSpec

_function = LazyFunction(lambda: _create(SHIPPED_FOLDER / "shapes-yolov8n.pt"))

results_depend_on = YoloDetection.results_depend_on
detect = _function.detect
detect_batch = _function.detect_batch
fingerprint_inputs = _function.fingerprint_inputs


def __getattr__(name: str) -> Any:
    if name in ("spec", "device"):
        return getattr(_function, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
