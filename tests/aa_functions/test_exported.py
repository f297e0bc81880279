"""An exported network without torch and Ultralytics: the same results, and a fast start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL.ExifTags import Base

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

import torch
from ultralytics.data.augment import LetterBox, classify_transforms
from ultralytics.data.loaders import LoadPilAndNumpy
from ultralytics.utils.nms import non_max_suppression
from ultralytics.utils.ops import scale_boxes

from aa_functions.backends.facts import NetworkFacts, facts_of, read_facts, write_facts
from aa_functions.backends.letterbox import box_image, crop_image
from aa_functions.backends.predictor import load_checkpoint, model_info
from aa_functions.kinds.geometry import boxes_to_image
from aa_functions.kinds.kind import BoxOptions, ImageShapes, ModelInfo
from aa_functions.kinds.select import select_boxes
from aa_functions.training.shape_images import make_shape_images
from aa_functions.weights import SHIPPED_FOLDER
from aa_functions.yolo import create
from tests.support.yolo_weights import DRAWN, WEIGHTS

MODEL = SHIPPED_FOLDER / "shapes-yolov8n.pt"
MODELS = {"detect": MODEL, **WEIGHTS}
SIZES = [(640, 480), (1280, 720), (333, 1001), (1, 900), (37, 41), (1920, 1079), (640, 640)]
SECOND_START = """
import json, sys
from types import SimpleNamespace
from PIL import Image
from aa_functions.yolo import create

function = create(sys.argv[1], backend=sys.argv[2], workers=2, conf=0.1)
labels = [label.name for label in function.spec.labels]
context = SimpleNamespace(frame_name="a", conf_threshold=None, conv_mask_to_poly=False)
image = Image.open(sys.argv[3]).convert("RGB")
found = function.detect_batch([context] * 2, [image] * 2)
one = function.detect(context, image)
rows = [[s.to_dict() for s in shapes] for shapes in [*found, one]]
heavy = sorted({"torch", "ultralytics", "torchvision"} & set(sys.modules))
print(json.dumps({"labels": labels, "rows": rows, "heavy": heavy}, default=str))
"""


def raw_output(seed: int, classes: int, boxes: int) -> np.ndarray:
    """Return what a network could give: clusters of boxes that overlap."""
    random = np.random.default_rng(seed)
    centres = random.uniform(0, 640, (12, 2))[random.integers(0, 12, boxes)]
    places = centres + random.normal(0, 12, (boxes, 2))
    sizes = random.uniform(20, 120, (boxes, 2))
    scores = random.uniform(0, 1, (boxes, classes)) ** 3
    return np.concatenate([places, sizes, scores], axis=1).T.astype(np.float32)


def choose_boxes(raw: np.ndarray, *, conf: float, agnostic: bool, **options: Any) -> np.ndarray:
    chosen = BoxOptions(agnostic_nms=agnostic, **options)
    return select_boxes(raw, len(raw) - 4, conf, chosen)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "options",
    [
        {"conf": 0.25, "iou": 0.7},
        {"conf": 0.001, "iou": 0.45, "agnostic": True},
        {"conf": 0.5, "iou": 0.7, "classes": (1, 3), "max_det": 7},
        {"conf": 1.0, "iou": 0.5},
        {"conf": 0.3, "iou": 0.0},
        {"conf": 0.3, "iou": 1.0},
    ],
)
def test_the_same_boxes_are_kept(seed: int, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    # The torch code of Ultralytics, whatever build of torchvision is installed.
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    raw = raw_output(seed, classes=1 + seed % 5, boxes=900)
    given = {"agnostic": False, "classes": None, "max_det": 300, **options}
    (wanted,) = non_max_suppression(
        torch.from_numpy(raw.copy())[None],
        given["conf"],
        given["iou"],
        classes=given["classes"] and list(given["classes"]),
        agnostic=given["agnostic"],
        max_det=given["max_det"],
    )
    np.testing.assert_array_equal(choose_boxes(raw, **given), wanted.numpy())


def test_more_candidates_than_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aa_functions.kinds.select.MAX_CANDIDATES", 50)
    raw = raw_output(2, classes=2, boxes=400)
    (wanted,) = non_max_suppression(
        torch.from_numpy(raw.copy())[None], 0.25, 0.7, max_nms=50, max_det=300
    )
    given = {"agnostic": False, "classes": None, "max_det": 300}
    np.testing.assert_array_equal(choose_boxes(raw, conf=0.25, iou=0.7, **given), wanted.numpy())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("into", [(640, 640), (320, 480)])
def test_images_are_boxed_and_boxes_scaled_back_alike(
    size: tuple[int, int], into: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (size[1], size[0], 3), np.uint8)
    boxed = box_image(PIL.Image.fromarray(pixels), into, 32)
    original = np.ascontiguousarray(pixels[..., ::-1])
    np.testing.assert_array_equal(
        boxed.boxed, LetterBox(into, auto=True, stride=32)(image=original)
    )
    boxes = np.random.default_rng(5).uniform(-20, 700, (50, 4)).astype(np.float32)
    wanted = scale_boxes(boxed.boxed.shape[:2], torch.from_numpy(boxes.copy()), original.shape)
    shapes = ImageShapes(boxed=boxed.boxed.shape[:2], original=boxed.size)
    np.testing.assert_array_equal(boxes_to_image(boxes, shapes), wanted.numpy())


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "RGBA", "CMYK", "1"])
@pytest.mark.parametrize("orientation", [None, 1, 6])
def test_images_are_converted_alike(mode: str, orientation: int | None) -> None:
    noise = np.random.default_rng(6).integers(0, 256, (90, 140, 3), np.uint8)
    image = PIL.Image.fromarray(noise).convert(mode)
    if orientation is not None:
        image.getexif()[Base.Orientation] = orientation
    original = LoadPilAndNumpy([image]).im0[0]
    found = box_image(image, (640, 640), 32)
    assert found.size == original.shape[:2]
    np.testing.assert_array_equal(found.boxed, LetterBox(640, auto=True)(image=original))
    assert_cropped_alike(image, original, 224)


def assert_cropped_alike(image: PIL.Image.Image, original: np.ndarray, size: Any) -> None:
    scale_and_cut = classify_transforms(size).transforms[:2]
    wanted = PIL.Image.fromarray(np.ascontiguousarray(original[..., ::-1]))
    for transform in scale_and_cut:
        wanted = transform(wanted)
    sides = (size, size) if isinstance(size, int) else size
    found = crop_image(image, sides)
    assert found.size == original.shape[:2]
    np.testing.assert_array_equal(found.boxed, np.asarray(wanted)[..., ::-1])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("into", [224, 64, (96, 128)])
def test_images_are_cropped_alike(size: tuple[int, int], into: int | tuple[int, int]) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3), np.uint8)
    original = np.ascontiguousarray(pixels[..., ::-1])
    assert_cropped_alike(PIL.Image.fromarray(pixels), original, into)


def test_boxes_of_an_empty_image() -> None:
    shapes = ImageShapes(boxed=(480, 640), original=(480, 640))
    assert boxes_to_image(np.zeros((0, 4), np.float32), shapes).shape == (0, 4)


@pytest.mark.parametrize(
    ("kind", "backend"), [("detect", "onnx"), *((kind, "openvino") for kind in MODELS)]
)
def test_the_second_start_needs_no_torch(
    kind: str, backend: str, make_context, tmp_path: Path
) -> None:
    """The folder of the weights is the session's: the first function here exports, if needed."""
    pytest.importorskip("openvino" if backend == "openvino" else "onnxruntime")
    [made] = make_shape_images(1, seed=80_004, sizes=((320, 240),), **DRAWN[kind])
    made.image.save(tmp_path / "picture.png")
    first = create(MODELS[kind], backend=backend, workers=2, conf=0.1)
    shapes = first.detect_batch([make_context()], [made.image])[0]
    wanted = json.loads(json.dumps([shape.to_dict() for shape in shapes], default=str))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SECOND_START,
            str(MODELS[kind]),
            backend,
            str(tmp_path / "picture.png"),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    assert found["labels"] == [label.name for label in first.spec.labels]
    assert wanted
    for rows in found["rows"]:
        assert_near(rows, wanted)


def assert_near(found: Any, wanted: Any) -> None:
    """Compare JSON; numbers may differ by rounding."""
    if isinstance(wanted, dict):
        assert_near(list(found.items()), list(wanted.items()))
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_near(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, abs=0.02)
    else:
        assert found == wanted


@pytest.mark.parametrize("kind", MODELS)
def test_facts_are_kept(kind: str, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(MODELS[kind])
    facts = facts_of(checkpoint, model_info(checkpoint, "any.pt"))
    assert facts is not None
    assert facts.info.task == kind
    assert (facts.stride, facts.input_size(500)) == (32, (512, 512))
    write_facts(tmp_path / "facts.json", facts)
    assert read_facts(tmp_path / "facts.json") == facts
    write_facts(tmp_path / "no folder" / "facts.json", facts)  # The next run loads the checkpoint.


@pytest.mark.parametrize("content", ["", "[]", '{"format": 0}', '{"format": 2, "info": 3}'])
def test_unusable_facts_are_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "facts.json"
    assert read_facts(path) is None
    path.write_text(content)
    assert read_facts(path) is None


@pytest.mark.parametrize("imgsz", [None, 320, (320, 512)])
def test_the_input_size(imgsz: int | tuple[int, int] | None) -> None:
    info = ModelInfo(name="cars.pt", task="detect", labels={0: "car"})
    facts = NetworkFacts(info=info, imgsz=640, stride=32)
    wanted = {None: (640, 640), 320: (320, 320), (320, 512): (320, 512)}
    assert facts.input_size(imgsz) == wanted[imgsz]
