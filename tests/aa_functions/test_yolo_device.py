"""The YOLO function on a GPU (marked `gpu`), and the same checks on the CPU where possible."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

import torch
from torch.backends import cudnn

from aa_functions.backends.device import exact_convolutions
from aa_functions.backends.pool import GpuRunner
from aa_functions.backends.predictor import (
    Predictor,
    PredictorOptions,
    load_checkpoint,
    model_info,
    split_outputs,
)
from aa_functions.backends.ultralytics_import import import_ultralytics
from aa_functions.kinds.kind import BoxOptions
from aa_functions.kinds.options import KindOptions, make_kind
from aa_functions.kinds.select import select_boxes
from aa_functions.training.shape_images import make_shape_images
from aa_functions.weights import SHIPPED_FOLDER
from aa_functions.yolo import create

MODEL = SHIPPED_FOLDER / "shapes-yolov8n.pt"
PIXELS = 0.1


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Any:
    return torch.device(request.param)


@pytest.fixture(scope="module")
def many() -> list[Any]:
    """More pictures than one batch holds, all of one size."""
    return [made.image for made in make_shape_images(40, seed=70_002, sizes=[(1280, 720)])]


def predictor_on(device: Any, precision: Any = "f32") -> Predictor:
    options = PredictorOptions(imgsz=640, device=device, precision=precision)
    checkpoint = load_checkpoint(MODEL)
    kind = make_kind(model_info(checkpoint, MODEL.name), KindOptions())
    predictor = Predictor(checkpoint, kind, options)
    if precision != "f32":
        predictor.reduce_precision(precision)
    return predictor


def on_one_core(images: list[Any]) -> list[np.ndarray]:
    predictor = predictor_on(torch.device("cpu"))
    return [predictor.run([predictor.prepare(image)], 0.25)[0] for image in images]


def max_distance(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """Return the largest difference in pixels of boxes, paired by label and place."""
    assert [len(rows) for rows in found] == [len(rows) for rows in wanted]
    return max(
        float(abs(_by_place(rows) - _by_place(others)).max())
        for rows, others in zip(found, wanted, strict=True)
        if len(rows)
    )


def _by_place(rows: np.ndarray) -> np.ndarray:
    order = np.lexsort((rows[:, 0].round(), rows[:, 1].round(), rows[:, 5]))
    return rows[order, :4]


def test_batches_have_the_boxes_that_one_core_has_for_each_image(device, many):
    runner = GpuRunner(lambda threads: predictor_on(device), workers=2, batch=16)
    assert max_distance(runner.run(many, 0.25), on_one_core(many)) <= PIXELS


def test_boxes_are_those_of_plain_ultralytics_on_the_device(device, many):
    plain = import_ultralytics().YOLO(str(MODEL))
    results = [plain.predict(image, imgsz=640, device=device, verbose=False)[0] for image in many]
    wanted = [result.boxes.data.cpu().numpy() for result in results]
    runner = GpuRunner(lambda threads: predictor_on(device), workers=2, batch=16)
    # On a GPU Ultralytics lets cuDNN round to TF32.
    allowed = PIXELS if device.type == "cpu" else 1.0
    assert max_distance(runner.run(many, 0.25), wanted) <= allowed


def test_half_precision_moves_boxes_by_less_than_a_pixel(device, many):
    exact = on_one_core(many[:12])
    runner = GpuRunner(lambda threads: predictor_on(device, "f16"), workers=2, batch=16)
    assert 0 < max_distance(runner.run(many[:12], 0.25), exact) < 1.0


def test_several_threads_may_call_the_function(device, many, make_context):
    function = create(MODEL, device=str(device), backend="torch", batch=8, workers=2)
    contexts = [make_context()] * 8
    parts = [many[begin : begin + 8] for begin in range(0, 40, 8)]
    wanted = [function.detect_batch(contexts, part) for part in parts]
    with ThreadPoolExecutor(3) as executor:
        found = list(executor.map(lambda part: function.detect_batch(contexts, part), parts))
    for batch, others in zip(found, wanted, strict=True):
        for shapes, expected in zip(batch, others, strict=True):
            assert [shape.label_id for shape in shapes] == [shape.label_id for shape in expected]
            for shape, other in zip(shapes, expected, strict=True):
                assert shape.points == pytest.approx(other.points, abs=PIXELS)


@pytest.mark.gpu
def test_auto_uses_the_gpu(many, make_context):
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    found = create(MODEL, half=True).detect_batch([make_context()] * len(many), many)
    assert torch.cuda.max_memory_allocated() > before
    assert sum(map(len, found)) == pytest.approx(sum(map(len, on_one_core(many))), abs=2)


@pytest.mark.gpu
def test_batches_shrink_when_the_gpu_runs_out_of_memory(many):
    def runner(batch: int) -> GpuRunner:
        return GpuRunner(lambda threads: predictor_on(torch.device("cuda:0")), 2, batch)

    def peak(images: list[Any]) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        runner(len(images)).run(images, 0.25)
        return torch.cuda.max_memory_reserved()

    total = torch.cuda.get_device_properties(0).total_memory
    few, all_of_them = peak(many[:4]), peak(many)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((few + all_of_them) / 2 / total)
    try:
        squeezed = runner(len(many))
        found = squeezed.run(many, 0.25)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert squeezed.batch < len(many)
    assert max_distance(found, on_one_core(many)) <= PIXELS


@pytest.mark.parametrize("conf", [0.0, 0.05, 0.25, 0.9])
def test_nms_chooses_the_boxes_that_ultralytics_chooses(device, many, conf):
    from ultralytics.utils.nms import non_max_suppression

    predictor = predictor_on(device)
    prepared = [predictor.prepare(image) for image in many[:6]]
    with torch.inference_mode():
        outputs = predictor.forward([image.boxed for image in prepared])
        # Not a batch: Ultralytics drops the images that exceed a time limit.
        wanted = [
            non_max_suppression(raw, conf, 0.7, max_time_img=600)[0]
            for raw in outputs[0].cpu().split(1)
        ]
        own = split_outputs(outputs, conf, 4)
    found = [select_boxes(raw, 4, conf, BOX_OPTIONS) for (raw,) in own]
    for rows, expected in zip(found, wanted, strict=True):
        assert np.array_equal(rows, expected.numpy())
    assert any(map(len, found))


BOX_OPTIONS = BoxOptions(iou=0.7, max_det=300, classes=None, agnostic_nms=False)


@pytest.mark.parametrize("boxes", range(9))
def test_any_number_of_candidates_goes_through_nms(device, boxes):
    raw = torch.zeros(2, 8, 50, device=device)
    for number in range(boxes):
        raw[1, :4, number] = torch.tensor([100.0 + 60 * number, 50.0, 40.0, 40.0])
        raw[1, 4 + number % 4, number] = 0.9 - number / 100
    first, second = (
        select_boxes(own, 4, 0.25, BOX_OPTIONS) for (own,) in split_outputs((raw,), 0.25, 4)
    )
    assert len(first) == 0
    assert second[:, 0].tolist() == [80.0 + 60 * number for number in range(boxes)]


def test_tf32_is_off_for_the_network_alone():
    seen = []
    before = cudnn.allow_tf32
    exact_convolutions()(lambda: seen.append(cudnn.allow_tf32))()
    assert seen == [False]
    assert cudnn.allow_tf32 == before
