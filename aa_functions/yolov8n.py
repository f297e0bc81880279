"""The predefined AA function: Ultralytics YOLOv8n on the 80 classes of COCO.

The module itself is the function; `detect` and `detect_batch` are those of
`aa_functions.yolo.YoloDetection`:

    cvat-cli task auto-annotate 12 --function-module aa_functions.yolov8n

The weights, `yolov8n.pt`, are not shipped. They are searched as `aa_functions.weights` describes,
and downloaded if no folder has them and downloads are allowed. The environment variable
CVAT_FLOWS_YOLOV8N can name another file. They are loaded on first use.
Ultralytics and its models are licensed under AGPL-3.0.
"""

from __future__ import annotations

import os
from typing import Any

from cvat_sdk.auto_annotation import DetectionFunctionSpec

from aa_functions.lazy import LazyFunction
from aa_functions.yolo import YoloDetection
from aa_functions.yolo import create as _create

spec: DetectionFunctionSpec

_function = LazyFunction(lambda: _create(os.environ.get("CVAT_FLOWS_YOLOV8N") or "yolov8n.pt"))

results_depend_on = YoloDetection.results_depend_on
detect = _function.detect
detect_batch = _function.detect_batch
fingerprint_inputs = _function.fingerprint_inputs


def __getattr__(name: str) -> Any:
    if name in ("spec", "device"):
        return getattr(_function, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
