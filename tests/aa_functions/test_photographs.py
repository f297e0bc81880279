"""Real photographs: equal to Ultralytics' `predict`.

Weights for real objects cannot be had without the network, so these are random ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)
pytest.importorskip("skimage")

from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.yolo import create
from tests.support.random_yolo import make_random_yolo
from tests.support.yolo_equality import assert_equal

IMGSZ = 320


@pytest.fixture(scope="module")
def photographs() -> list[PIL.Image.Image]:
    """Those that come with packages: people, a bus, a cat, a cup of coffee."""
    import skimage

    assets = Path(import_ultralytics().__file__).parent / "assets"
    data = Path(skimage.__file__).parent / "data"
    paths = [
        *(assets / name for name in ("bus.jpg", "zidane.jpg")),
        *(data / name for name in ("astronaut.png", "chelsea.png", "coffee.png")),
    ]
    # Of one size, because the weights are adapted to them.
    return [PIL.Image.open(path).convert("RGB").resize((640, 480)) for path in paths]


@pytest.mark.parametrize("network", ["yolo11n.yaml", "yolo11n-seg.yaml", "yolo11n-obb.yaml"])
def test_equal_to_predict(
    network: str, photographs: list[PIL.Image.Image], tmp_path: Path, make_context: Any
) -> None:
    weights = make_random_yolo(network, tmp_path, photographs, imgsz=IMGSZ)
    checkpoint = import_ultralytics().YOLO(str(weights))
    function = create(weights, backend="torch", workers=1, imgsz=IMGSZ)
    contexts = [make_context()] * len(photographs)
    together = function.detect_batch(contexts, photographs)
    assert min(map(len, together)) >= 5
    for photograph, shapes in zip(photographs, together, strict=True):
        [wanted] = checkpoint.predict(photograph, imgsz=IMGSZ, retina_masks=True, verbose=False)
        assert_equal(checkpoint.task, shapes, wanted, photograph)
