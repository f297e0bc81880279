"""Which frames the flow fetches and detects on, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client
from PIL import Image

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.finished import Finished
from cvat_flows.flows.in_process import run_here
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.live import LiveInputs
from tests.tasks.fetch.film import film

MakeTask = Callable[..., Any]

FUNCTION = '''
"""Finds one box on each image and records the images."""
import os
from types import SimpleNamespace

from aa_functions import DetectionFunctionSpec, label_spec, rectangle


def create(width=1.0):
    def detect_batch(contexts, images):
        # Not a parameter: the content of a file in a parameter is part of the fingerprint.
        with open(os.environ["CALLS"], "a") as file:
            for context, image in zip(contexts, images, strict=True):
                print(context.frame_name, image.getpixel((5, 5)), file=file)
        return [[rectangle(0, [width, 1.0, 20.0, 20.0], score=0.5)] for _ in images]

    def detect(context, image):
        return detect_batch([context], [image])[0]

    return SimpleNamespace(
        spec=DetectionFunctionSpec(labels=[label_spec("car", 0)]),
        detect=detect,
        detect_batch=detect_batch,
    )
'''


class Annotator:
    """Runs the flow with the function above."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self._calls = folder / "calls"
        self.function = folder / "counting.py"
        self.function.write_text(FUNCTION)

    def __call__(self, task: Any, *, width: float | None = 1.0, **options: Any) -> Finished:
        parameters = AnnotateTaskParameters(
            task_id=task.id,
            function=str(self.function),
            function_parameters={} if width is None else {"width": width},
            **options,
        )
        finished = run_here(parameters, LiveInputs(client=self.client))
        assert finished.error is None, finished.error
        return finished

    def calls(self) -> Counter[str]:
        """Return how often the function got each image since the last call."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.write_text("")
        return Counter(lines)


@pytest.fixture
def annotate(
    client: Client,
    tmp_path: Path,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Annotator:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return Annotator(client, tmp_path)


def frames_in(task: Any) -> list[int]:
    return sorted(shape.frame for shape in task.get_annotations().shapes)


def downloads(sandbox: SandboxProcess) -> list[str]:
    return [address for address in sandbox.request_counts() if "/data?" in address]


def test_cached_detections_need_no_chunk_and_no_model(
    make_task: MakeTask, annotate: Annotator, sandbox: SandboxProcess
) -> None:
    task = make_task(9, data={"chunk_size": 4})
    annotate(task)
    assert sum(annotate.calls().values()) == 9
    task.remove_annotations()
    sandbox.reset_request_counts()
    annotate(task, existing="clear")
    assert not annotate.calls()
    # Single frames may be fetched for the pictures of the report.
    assert not [address for address in downloads(sandbox) if "type=chunk" in address]
    assert frames_in(task) == list(range(9))


def test_without_the_cache_everything_is_detected_again(
    make_task: MakeTask, annotate: Annotator
) -> None:
    task = make_task(3)
    annotate(task)
    annotate.calls()
    annotate(task, existing="clear", use_cache=False)
    assert sum(annotate.calls().values()) == 3
    assert frames_in(task) == [0, 1, 2]


def test_the_same_image_in_two_tasks_is_detected_once(
    make_task: MakeTask, annotate: Annotator
) -> None:
    first, second = make_task(5), make_task(7)
    annotate(first)
    assert sum(annotate.calls().values()) == 5
    annotate(second)
    assert sorted(name.split()[0] for name in annotate.calls()) == ["img_0005.jpg", "img_0006.jpg"]
    assert frames_in(second) == list(range(7))


BY_NAME = """
from aa_functions import DetectionFunctionSpec, label_spec, rectangle

spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])
BOXES = {"a.png": [1, 1, 5, 5], "b.png": [10, 10, 20, 20], "c.png": [30, 30, 40, 40]}


def detect(context, image):
    return [rectangle(0, BOXES[context.frame_name])]
"""


def test_equal_images_with_other_names_are_other_frames(
    make_task: MakeTask, annotate: Annotator, tmp_path: Path
) -> None:
    """The name reaches the function, so it may decide the result."""
    annotate.function.write_text(BY_NAME)
    images = [tmp_path / f"{name}.png" for name in "abc"]
    for image in images:
        Image.new("RGB", (64, 48)).save(image)
    for names in (images[:1], images[1:2]):
        task = make_task(images=names)
        annotate(task, width=None)
    assert [shape.points for shape in task.get_annotations().shapes] == [[10, 10, 20, 20]]
    together = make_task(images=images)
    annotate(together, width=None, frames_per_run=1)
    shapes = together.get_annotations().shapes
    assert {shape.frame: shape.points[0] for shape in shapes} == {0: 1, 1: 10, 2: 30}


def test_equal_images_count_as_one_for_a_function_that_sees_only_the_image(
    make_task: MakeTask, annotate: Annotator, tmp_path: Path
) -> None:
    source = FUNCTION.replace("detect=detect,", 'detect=detect, results_depend_on="image",')
    annotate.function.write_text(source)
    images = [tmp_path / f"{name}.png" for name in "abc"]
    for image in images:
        Image.new("RGB", (64, 48)).save(image)
    for image in images:
        annotate(make_task(images=[image]))
    assert sum(annotate.calls().values()) == 1


def test_another_function_parameter_is_another_function(
    make_task: MakeTask, annotate: Annotator
) -> None:
    task = make_task(3)
    annotate(task)
    annotate.calls()
    annotate(task, width=2.0, existing="clear")
    assert sum(annotate.calls().values()) == 3
    assert {shape.points[0] for shape in task.get_annotations().shapes} == {2.0}


def test_thresholds_and_mappings_need_no_model(make_task: MakeTask, annotate: Annotator) -> None:
    task = make_task(3, labels=["car", "truck"])
    annotate(task)
    annotate.calls()
    annotate(task, existing="clear", label_mapping={"car": {"name": "truck"}})
    names = {label.id: label.name for label in task.get_labels()}
    assert [names[shape.label_id] for shape in task.get_annotations().shapes] == ["truck"] * 3
    annotate(task, existing="clear", label_thresholds={"car": 0.9})
    assert not annotate.calls()


@pytest.mark.parametrize("frames_per_run", [1, 3, 100])
def test_the_batch_size_changes_nothing(
    make_task: MakeTask, annotate: Annotator, frames_per_run: int
) -> None:
    task = make_task(8, segment_size=5, data={"chunk_size": 3})
    annotate(task, frames_per_run=frames_per_run)
    assert frames_in(task) == list(range(8))
    assert set(annotate.calls().values()) == {1}


def test_jobs_that_overlap(make_task: MakeTask, annotate: Annotator) -> None:
    task = make_task(10, segment_size=4, overlap=2, data={"chunk_size": 3})
    annotate(task)
    assert sum(annotate.calls().values()) == 10
    assert frames_in(task) == list(range(10))
    in_jobs = [len(job.get_annotations().shapes) for job in task.get_jobs()]
    assert sorted(in_jobs) == [4, 4, 4, 4]


def test_a_video(
    make_task: MakeTask, annotate: Annotator, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    task = make_task(images=[film(tmp_path / "clip.mp4", 14)], data={"chunk_size": 4})
    sandbox.reset_request_counts()
    annotate(task)
    assert "GET /api/tasks/{id}/data?type=chunk" in downloads(sandbox)
    assert sum(annotate.calls().values()) == 14
    assert frames_in(task) == list(range(14))


def test_every_third_frame_of_a_video(
    make_task: MakeTask, annotate: Annotator, tmp_path: Path
) -> None:
    task = make_task(
        images=[film(tmp_path / "clip.mp4", 14)], data={"chunk_size": 4, "frame_step": 3}
    )
    annotate(task)
    assert frames_in(task) == [0, 1, 2, 3, 4]
