"""How images are distributed over copies of the model and over batches.

`GpuRunner` is tested without a GPU, with predictors on the CPU.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
from PIL.ExifTags import Base

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

import torch
from ultralytics.data.loaders import LoadPilAndNumpy

from aa_functions.backends.pool import CpuRunner, GpuRunner, PredictorPool, is_out_of_memory
from aa_functions.backends.predictor import (
    Predictor,
    PredictorOptions,
    load_checkpoint,
    model_info,
)
from aa_functions.kinds.options import KindOptions, make_kind
from aa_functions.weights import SHIPPED_FOLDER

OPTIONS = PredictorOptions(imgsz=None, device=torch.device("cpu"), precision="f32")


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(SHIPPED_FOLDER / "shapes-yolov8n.pt")


@pytest.fixture(scope="module")
def kind(checkpoint):
    return make_kind(model_info(checkpoint, "shapes-yolov8n.pt"), KindOptions())


class RecordingPredictor(Predictor):
    """Records its batches, and runs out of memory beyond a number of images."""

    max_images = 1000

    def run(self, prepared, conf):
        self.__dict__.setdefault("batches", []).append([image.original.shape for image in prepared])
        if len(prepared) > self.max_images:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().run(prepared, conf)


@pytest.fixture
def recording(checkpoint, kind):
    return RecordingPredictor(checkpoint, kind, OPTIONS)


@pytest.fixture(scope="module")
def alone(checkpoint, kind, pictures):
    predictor = Predictor(checkpoint, kind, OPTIONS)
    return [predictor.run([predictor.prepare(image)], 0.25)[0] for image in pictures]


def assert_close(found, wanted):
    assert [rows.shape for rows in found] == [rows.shape for rows in wanted]
    for rows, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(rows, expected, atol=0.01)


def image_of(mode, orientation=None):
    noise = np.random.default_rng(5).integers(0, 256, (333, 500, 3), np.uint8)
    image = PIL.Image.fromarray(noise).convert(mode)
    if orientation is not None:
        image.getexif()[Base.Orientation] = orientation
    return image


@pytest.mark.parametrize(
    "image",
    [image_of("RGB"), image_of("RGB", 1), image_of("RGB", 6), image_of("L"), image_of("RGBA")],
    ids=["rgb", "upright", "turned", "grey", "alpha"],
)
def test_images_are_prepared_as_ultralytics_does(checkpoint, kind, image):
    predictor = Predictor(checkpoint, kind, OPTIONS)
    original = LoadPilAndNumpy([image]).im0[0]
    prepared = predictor.prepare(image)
    np.testing.assert_array_equal(prepared.boxed, predictor._predictor.letterbox([original])[0])
    assert prepared.original.shape == original.shape


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_batches_hold_one_shape_and_give_each_image_its_boxes(recording, pictures, alone, batch):
    runner = GpuRunner(lambda threads: recording, workers=2, batch=batch)
    assert_close(runner.run(pictures, 0.25), alone)
    assert all(len(set(shapes)) == 1 for shapes in recording.batches)
    assert max(map(len, recording.batches)) <= batch
    shapes = {image.size for image in pictures}
    if batch == 32:
        assert len(recording.batches) == len(shapes) < len(pictures)


def test_batches_shrink_when_memory_runs_out(recording, pictures, alone):
    images, wanted = pictures[:1] * 9, alone[:1] * 9
    recording.max_images = 2
    runner = GpuRunner(lambda threads: recording, workers=2, batch=8)
    assert_close(runner.run(images, 0.25), wanted)
    assert runner.batch == 2
    assert [len(shapes) for shapes in recording.batches] == [8, 4, 2, 2, 2, 2, 1]
    recording.batches.clear()
    assert_close(runner.run(images, 0.25), wanted)
    assert max(map(len, recording.batches)) == 2


def test_one_image_too_many_is_an_error(recording, pictures):
    recording.max_images = 0
    runner = GpuRunner(lambda threads: recording, workers=1, batch=4)
    with pytest.raises(torch.OutOfMemoryError):
        runner.run(pictures[:2], 0.25)


def test_what_counts_as_out_of_memory():
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_the_cpu_runs_images_one_by_one(checkpoint, kind, pictures, alone):
    made = []

    def make(threads):
        made.append((threads, RecordingPredictor(checkpoint, kind, OPTIONS)))
        return made[-1][1]

    two = CpuRunner(make, workers=2).run(pictures, 0.25)
    assert_close(two, alone)
    assert {threads for threads, _ in made} == {1}
    assert 1 <= len(made) <= 2
    reverse = CpuRunner(make, workers=1).run(pictures[::-1], 0.25)[::-1]
    for found, wanted in zip(reverse, two, strict=True):
        np.testing.assert_array_equal(found, wanted)  # to the last bit
    assert all(len(shapes) == 1 for _, recording in made for shapes in recording.batches)


def test_a_predictor_is_lent_to_one_thread_at_a_time():
    made = []
    busy = set()

    def make():
        made.append(object())
        return made[-1]

    pool = PredictorPool(make, 3)
    lock = threading.Lock()

    def work(_):
        with pool.lend() as predictor:
            with lock:
                assert predictor not in busy
                busy.add(predictor)
            time.sleep(0.002)
            with lock:
                busy.remove(predictor)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(60)))
    assert len(made) <= 3


def test_a_failure_to_make_a_predictor_does_not_block_the_pool():
    attempts = iter([ValueError("first"), ValueError("second"), None])

    def make():
        error = next(attempts)
        if error:
            raise error
        return "predictor"

    pool = PredictorPool(make, 1)
    for message in ("first", "second"):
        with pytest.raises(ValueError, match=message), pool.lend():
            pass
    with pool.lend() as predictor:
        assert predictor == "predictor"
