"""The YOLO function: boxes equal to Ultralytics', batches, threads, back ends, wrong options."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

from aa_functions import FunctionReference, FunctionReferenceError, load_function
from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.errors import PictureError, YoloOptionError
from aa_functions.training.shape_images import LABELS, make_shape_images
from aa_functions.weights import SHIPPED_FOLDER
from aa_functions.yolo import YoloDetection, create

MODEL = SHIPPED_FOLDER / "shapes-yolov8n.pt"
PIXELS = 0.1
"""Allowed difference of a coordinate between batches and backends."""


@pytest.fixture(scope="module")
def function() -> YoloDetection:
    return create(MODEL, backend="torch", workers=2)


@pytest.fixture(scope="module")
def plain() -> Any:
    return import_ultralytics().YOLO(str(MODEL))


def as_rows(shapes: Sequence[Any]) -> list[list[float]]:
    return [[*shape.points, shape.score, shape.label_id] for shape in shapes]


def assert_same(found: list[list[float]], wanted: list[list[float]]) -> None:
    """Compare boxes; those of equal confidence may be in another order."""
    assert len(found) == len(wanted)
    left = list(wanted)
    for row in found:
        match = next(
            (
                other
                for other in left
                if row[5] == other[5]
                and abs(row[4] - other[4]) < 1e-3
                and max(abs(a - b) for a, b in zip(row[:4], other[:4], strict=True)) <= PIXELS
            ),
            None,
        )
        assert match is not None, f"{row} is not in {left}"
        left.remove(match)


def test_spec_lists_the_classes(function):
    assert [(label.name, label.id) for label in function.spec.labels] == list(
        zip(LABELS, range(4), strict=True)
    )
    assert {label.type for label in function.spec.labels} == {"rectangle"}
    assert function.title == "shapes-yolov8n"


@pytest.mark.parametrize("imgsz", [None, 480])
def test_equal_to_plain_ultralytics(plain, pictures, make_context, imgsz):
    ours = create(MODEL, backend="torch", imgsz=imgsz)
    options = {} if imgsz is None else {"imgsz": imgsz}
    for picture in pictures:
        wanted = plain.predict(picture, verbose=False, **options)[0].boxes.data.tolist()
        assert wanted
        assert_same(as_rows(ours.detect(make_context(), picture)), wanted)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16", "I", "F", "HSV"])
def test_odd_modes_are_read_as_ultralytics_reads_them(
    plain, function, make_context, mode, pictures
):
    picture = pictures[0]
    if mode == "I;16":
        converted = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif mode == "LA":
        converted = picture.convert("L").convert("LA")
    else:
        converted = picture.convert(mode)
    assert converted.mode == mode
    wanted = plain.predict(converted, verbose=False)[0].boxes.data.tolist()
    assert_same(as_rows(function.detect(make_context(), converted)), wanted)


@pytest.mark.parametrize("backend", ["torch", "openvino", "onnx"])
def test_a_deep_picture_gives_the_boxes_of_its_8_bits(pictures, make_context, backend):
    ours = create(MODEL, backend=backend, workers=1)
    grey = np.asarray(pictures[0].convert("L"))
    wanted = ours.detect(make_context(), Image.fromarray(grey))
    assert wanted
    deep = [
        Image.fromarray(values)
        for values in (
            grey.astype(np.float32) / 255,
            grey.astype(np.float32) * 256,
            grey.astype(np.int32) * 256,
            grey.astype(np.uint16) * 256,
            grey.astype(np.uint16) * 16,
        )
    ]
    found = ours.detect_batch([make_context()] * len(deep), deep)
    assert [as_rows(shapes) for shapes in found] == [as_rows(wanted)] * len(deep)
    with pytest.raises(PictureError, match="mode F"):
        ours.detect(make_context(), Image.fromarray(grey.astype(np.float32) - 1000))


def test_shapes_follow_the_protocol(function, pictures, make_context):
    shapes = function.detect(make_context(), pictures[0])
    assert shapes
    for shape in shapes:
        assert shape.frame == 0
        assert shape.type.value == "rectangle"
        assert not hasattr(shape, "id")
        assert not hasattr(shape, "source")
        assert 0.25 <= shape.score <= 1
        xtl, ytl, xbr, ybr = shape.points
        assert 0 <= xtl < xbr <= pictures[0].width
        assert 0 <= ytl < ybr <= pictures[0].height


def test_finds_what_was_drawn(function, make_context):
    wanted = got = 0
    for made in make_shape_images(20, seed=70_002):
        shapes = function.detect(make_context(), made.image)
        wanted += len(made.boxes)
        for box in made.boxes:
            corners = (box.xtl, box.ytl, box.xbr, box.ybr)
            got += any(
                shape.label_id == LABELS.index(box.label) and overlap(shape.points, corners) > 0.5
                for shape in shapes
            )
    assert got >= 0.9 * wanted


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_threshold_of_the_context(function, pictures, make_context):
    scores = {
        conf: [shape.score for shape in function.detect(make_context(conf_threshold=conf), image)]
        for image in pictures[:1]
        for conf in (0.05, 0.25, 0.9, None)
    }
    assert scores[None] == scores[0.25]
    assert len(scores[0.05]) > len(scores[0.9])
    for conf in (0.05, 0.25, 0.9):
        assert all(score >= conf for score in scores[conf])
    strict = create(MODEL, backend="torch", conf=0.9)
    assert [shape.score for shape in strict.detect(make_context(), pictures[0])] == scores[0.9]


def test_an_image_does_not_depend_on_its_neighbours(function, pictures, make_context):
    alone = [function.detect_batch([make_context()], [image])[0] for image in pictures]
    for seed in (1, 2):
        order = list(range(len(pictures)))
        random.Random(seed).shuffle(order)
        together = function.detect_batch(
            [make_context()] * len(order), [pictures[index] for index in order]
        )
        assert [alone[index] for index in order] == together


def test_contexts_of_a_batch_may_differ(function, pictures, make_context):
    contexts = [make_context(conf_threshold=conf) for conf in (0.1, 0.8, None, 0.1)]
    together = function.detect_batch(contexts, pictures[:4])
    assert together == [
        function.detect_batch([context], [image])[0]
        for context, image in zip(contexts, pictures[:4], strict=True)
    ]


def test_empty_batches_and_wrong_lengths(function, pictures, make_context):
    assert function.detect_batch([], []) == []
    with pytest.raises(ValueError, match="1 contexts for 2 images"):
        function.detect_batch([make_context()], pictures[:2])


def test_threads_with_different_thresholds(function, pictures, make_context):
    calls = [(index % len(pictures), (0.05, 0.5, 0.9)[index % 3]) for index in range(36)]
    wanted = {
        call: function.detect(make_context(conf_threshold=call[1]), pictures[call[0]])
        for call in set(calls)
    }

    def run(call: tuple[int, float]) -> bool:
        context = make_context(conf_threshold=call[1])
        if call[0] % 2:
            return function.detect(context, pictures[call[0]]) == wanted[call]
        found = function.detect_batch([context], [pictures[call[0]]])[0]
        assert_same(as_rows(found), as_rows(wanted[call]))
        return True

    with ThreadPoolExecutor(6) as executor:
        assert all(executor.map(run, calls))


def test_the_number_of_torch_threads_of_the_caller_is_unchanged(function, pictures, make_context):
    import torch

    before = torch.get_num_threads()
    function.detect(make_context(), pictures[0])
    function.detect_batch([make_context()] * 2, pictures[:2])
    create(MODEL, backend="torch").detect(make_context(), pictures[0])
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("backend", ["openvino", "onnx", "auto"])
def test_backends_give_the_same_boxes(function, pictures, make_context, backend, weights_folder):
    for name in {"openvino": ["openvino"], "onnx": ["onnx", "onnxruntime"], "auto": []}[backend]:
        pytest.importorskip(name)
    exports = weights_folder / "exports"  # other tests of the session keep theirs here, too
    before = {path.name for path in exports.iterdir()} if exports.exists() else set()
    other = create(MODEL, backend=backend, workers=2)
    contexts = [make_context()] * len(pictures)
    wanted = function.detect_batch(contexts, pictures)
    for found, expected in zip(other.detect_batch(contexts, pictures), wanted, strict=True):
        assert_same(as_rows(found), as_rows(expected))
    found = other.detect(contexts[0], pictures[0])
    assert_same(as_rows(found), as_rows(wanted[0]))
    if backend != "auto":
        kept = {path.name for path in exports.iterdir() if backend in path.name}
        assert kept
        assert len(kept - before) <= 1


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_bf16_gives_slightly_different_boxes(pictures, make_context, backend, function):
    if backend == "openvino" and not openvino_has_bf16():
        pytest.skip("OpenVINO does not support bf16 on this processor")
    reduced = create(MODEL, backend=backend, precision="bf16")
    exact = [function.detect(make_context(), image) for image in pictures]
    found = [reduced.detect(make_context(), image) for image in pictures]
    assert found != exact
    assert sum(map(len, found)) == pytest.approx(sum(map(len, exact)), abs=2)
    lost = [
        shape
        for shapes, others in zip(exact, found, strict=True)
        for shape in shapes
        if not any(overlap(shape.points, other.points) > 0.85 for other in others)
    ]
    assert len(lost) <= 1


def openvino_property(name: str) -> Any:
    return pytest.importorskip("openvino").Core().get_property("CPU", name)


def openvino_has_bf16() -> bool:
    return "BF16" in openvino_property("OPTIMIZATION_CAPABILITIES")


def test_bf16_without_support_is_f32_with_a_warning(pictures, make_context, caplog):
    """On a processor without bf16 OpenVINO computes in f32, which the function must not hide."""
    exact = create(MODEL, backend="openvino")
    reduced = create(MODEL, backend="openvino", precision="bf16")
    same_boxes = all(
        reduced.detect(make_context(), image) == exact.detect(make_context(), image)
        for image in pictures
    )
    same_fingerprint = reduced.fingerprint_inputs() == exact.fingerprint_inputs()
    warnings = [
        record.getMessage() for record in caplog.records if record.name.startswith("aa_functions")
    ]
    if openvino_has_bf16():
        assert (same_boxes, same_fingerprint, warnings) == (False, False, [])
    else:
        name = openvino_property("FULL_DEVICE_NAME")
        assert (same_boxes, same_fingerprint) == (True, True)
        assert warnings == [
            f"The processor '{name}' does not support precision 'bf16': "
            "the model runs in 'f32' instead."
        ]


def test_an_export_that_disagrees_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    import torch

    from aa_functions.backends.export import export_network

    class Zeros:
        input_shape = None

        def forward(self, boxed: object) -> tuple[torch.Tensor]:
            return (torch.zeros(1, 8, 1008),)

    monkeypatch.setenv("CVAT_FLOWS_WEIGHTS", str(tmp_path))
    with pytest.raises(YoloOptionError, match="other results than torch"):
        export_network(MODEL, "openvino", Zeros())
    assert list((tmp_path / "exports").iterdir()) == []


def test_auto_falls_back_to_torch(tmp_path, monkeypatch, pictures, make_context, function, caplog):
    pytest.importorskip("openvino")
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("CVAT_FLOWS_WEIGHTS", str(blocked))
    with pytest.raises(YoloOptionError, match="could not be exported"):
        create(MODEL, backend="openvino").detect(make_context(), pictures[0])
    found = create(MODEL, backend="auto").detect(make_context(), pictures[0])
    assert found == function.detect(make_context(), pictures[0])
    assert "Running with torch instead" in caplog.text


def test_classes_limit_the_spec_and_the_boxes(pictures, make_context):
    limited = create(MODEL, backend="torch", classes="star, circle")
    assert [label.name for label in limited.spec.labels] == ["circle", "star"]
    contexts = [make_context()] * len(pictures)
    found = limited.detect_batch(contexts, pictures)
    assert {shape.label_id for shapes in found for shape in shapes} == {0, 3}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"classes": "stars"}, "no class 'stars'; it has: circle, square, triangle, star"),
        ({"classes": [7]}, "no class '7'"),
        ({"conf": 1.5}, "conf is 1.5"),
        ({"iou": -0.1}, "iou is -0.1"),
        ({"imgsz": 0}, "imgsz is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"device": "tpu7"}, "device 'tpu7' is unknown"),
        ({"device": "cuda:99"}, "device 'cuda:99' does not exist"),
        ({"precision": "int8"}, "precision 'int8' is unknown"),
        ({"device": "cpu", "half": True}, "needs a GPU"),
        ({"half": True, "precision": "bf16"}, "precision is 'bf16'"),
        ({"backend": "tensorrt"}, "backend 'tensorrt' is unknown"),
        ({"device": "cpu", "backend": "onnx", "precision": "bf16"}, "'onnx'"),
    ],
)
def test_unusable_options(options, expected):
    with pytest.raises(YoloOptionError) as caught:
        create(MODEL, **options)
    assert expected in str(caught.value)


def test_a_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(
        "aa_functions.backends.backend._missing_packages",
        lambda backend: ["openvino"] * (backend != "torch"),
    )
    with pytest.raises(YoloOptionError, match="pip install openvino"):
        create(MODEL, device="cpu", backend="openvino")
    assert create(MODEL, device="cpu", backend="auto").spec


def test_files_that_are_not_checkpoints_of_a_kind(tmp_path):
    import torch

    ultralytics = import_ultralytics()
    depth = tmp_path / "rooms.pt"
    ultralytics.YOLO("yolo26n-depth.yaml").save(depth)
    with pytest.raises(YoloOptionError, match=r"'rooms\.pt' is a checkpoint for 'depth'"):
        create(depth)
    torch.save({"weights": [1]}, tmp_path / "other.pt")
    with pytest.raises(YoloOptionError, match="cannot be read as an Ultralytics checkpoint"):
        create(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(YoloOptionError, match="cannot be read as an Ultralytics checkpoint"):
        create(tmp_path / "text.pt")
    (tmp_path / "model.onnx").write_text("")
    with pytest.raises(YoloOptionError, match=r"give the \.pt file"):
        create(tmp_path / "model.onnx")


def test_errors_of_create_are_sentences():
    reference = FunctionReference(module="aa_functions.yolo", parameters={"model": "no-such.pt"})
    with pytest.raises(FunctionReferenceError) as caught:
        load_function(reference)
    assert "failed: There are no weights 'no-such.pt'" in str(caught.value)


def test_weights_by_name_and_by_path():
    assert create("shapes-yolov8n").title == create(Path(MODEL)).title
