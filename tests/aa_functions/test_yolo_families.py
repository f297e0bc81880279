"""Networks of every family of Ultralytics: equal to its `predict`, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.training.shape_images import make_shape_images
from aa_functions.yolo import create
from tests.support.random_yolo import IMGSZ, make_random_yolo
from tests.support.yolo_equality import assert_equal

NETWORKS = (
    "yolov10n.yaml",
    "yolo11n.yaml",
    "yolo12n.yaml",
    "yolo26n.yaml",
    "yolo26n-obb.yaml",
    "yolo26n-pose.yaml",
    "yolov8s-worldv2.yaml",
    "yoloe-11s.yaml",
    "yoloe-26n-seg.yaml",
    "yolov8n-rtdetr.yaml",
)


@pytest.fixture(scope="module")
def pictures() -> list[PIL.Image.Image]:
    return [made.image for made in make_shape_images(3, seed=3, sizes=((320, 240),))]


@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=pytest.mark.slow)])
@pytest.mark.parametrize("network", NETWORKS)
def test_equal_to_predict(
    network: str,
    backend: str,
    pictures: list[PIL.Image.Image],
    tmp_path: Path,
    make_context: Any,
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    weights = make_random_yolo(network, tmp_path, pictures)
    checkpoint = import_ultralytics().YOLO(str(weights))
    function = create(weights, backend=backend, workers=1, imgsz=IMGSZ)
    contexts = [make_context()] * len(pictures)
    for image, shapes in zip(pictures, function.detect_batch(contexts, pictures), strict=True):
        [wanted] = checkpoint.predict(
            image, imgsz=IMGSZ, conf=0.25, retina_masks=True, verbose=False
        )
        assert len(shapes) >= 5
        assert_equal(checkpoint.task, shapes, wanted, image)
