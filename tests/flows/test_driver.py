"""`cvat_flows.annotate_task` and the SDK's `annotate_task` give equal results on equal tasks."""

from __future__ import annotations

import io
import logging
import types
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from cvat_sdk import Client, models
from cvat_sdk.api_client.exceptions import NotFoundException
from cvat_sdk.core.progress import ProgressReporter
from cvat_sdk.datasets import UnsupportedDatasetError
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

import aa_functions as aa
from cvat_flows import annotate_task
from cvat_flows.flows.prefect_server import PrefectUnavailable
from tests.flows.conftest import frames_of
from tests.flows.rich_function import (
    RICH_SPEC,
    content,
    detect_everything,
    label,
    rich_labels,
    value,
)

pytestmark = pytest.mark.usefixtures("storage_folder")


@pytest.fixture
def way(request: pytest.FixtureRequest) -> None:
    """How `annotate_task` runs: as a Prefect flow, or in threads."""
    if request.param == "Prefect":
        request.getfixturevalue("prefect_server")


@pytest.mark.parametrize("way", ["threads", "Prefect"], indirect=True)
@pytest.mark.parametrize("conv_mask_to_poly", [False, True])
@pytest.mark.parametrize("clear_existing", [False, True])
def test_equal_to_the_sdk(
    client: Client,
    make_task: Callable[..., Any],
    clear_existing: bool,
    conv_mask_to_poly: bool,
    caplog: pytest.LogCaptureFixture,
    way: None,
) -> None:
    import cvat_sdk.auto_annotation as sdk

    function = SimpleNamespace(spec=RICH_SPEC, detect=detect_everything)
    results, told = [], []
    caplog.set_level(logging.INFO, logger=client.logger.name)
    for driver in (sdk.annotate_task, annotate_task):
        labels = rich_labels("polygon" if conv_mask_to_poly else "mask")
        task = make_task(3, labels, segment_size=2)
        by_hand = models.LabeledShapeRequest(
            type="rectangle", frame=1, label_id=task.get_labels()[1].id, points=[1.0, 2.0, 3.0, 4.0]
        )
        task.update_annotations(models.PatchedLabeledDataRequest(shapes=[by_hand]))
        driver(
            client,
            task.id,
            function,
            clear_existing=clear_existing,
            allow_unmatched_labels=True,
            conv_mask_to_poly=conv_mask_to_poly,
        )
        results.append(content(task))
        told.append(sorted(text for text in caplog.messages if "is not in dataset" in text))
        caplog.clear()
    assert told[0] == told[1] != []
    theirs, ours = results
    assert ours == theirs
    assert len(ours) == 3 * 11 + (not clear_existing)


def test_a_second_run_adds_no_duplicates(client: Client, make_task: Callable[..., Any]) -> None:
    task = make_task(3, rich_labels())
    function = SimpleNamespace(spec=RICH_SPEC, detect=detect_everything)
    annotate_task(client, task.id, function, allow_unmatched_labels=True)
    once = content(task)
    annotate_task(client, task.id, function, allow_unmatched_labels=True)
    assert content(task) == once


def test_a_class_instance_and_a_module(client: Client, make_task: Callable[..., Any]) -> None:
    spec = aa.DetectionFunctionSpec(labels=[aa.label_spec("car", 0)])

    class Boxes:
        @property
        def spec(self) -> aa.DetectionFunctionSpec:
            return spec

        def detect(self, context: Any, image: Any) -> list[Any]:
            return [aa.rectangle(0, [0, 0, image.width, image.height])]

    module = types.ModuleType("boxes_module")
    module.spec = spec  # type: ignore[attr-defined]
    module.detect = Boxes().detect  # type: ignore[attr-defined]
    for function in (Boxes(), module):
        task = make_task(2)
        annotate_task(client, task.id, function)
        assert frames_of(task) == [0, 1]


def test_the_function_gets_the_callers_options(
    client: Client, make_task: Callable[..., Any]
) -> None:
    seen: list[Any] = []

    def detect(context: Any, image: Any) -> list[Any]:
        seen.append((context.frame_name, context.conf_threshold, context.conv_mask_to_poly))
        assert image.size == (64, 48)
        assert image.format == "JPEG"
        return []

    function = SimpleNamespace(spec=aa.DetectionFunctionSpec(labels=[]), detect=detect)
    task = make_task(2)
    annotate_task(client, task.id, function, conf_threshold=0.75, conv_mask_to_poly=True)
    assert seen == [("img_0000.jpg", 0.75, True), ("img_0001.jpg", 0.75, True)]
    seen.clear()
    annotate_task(client, task.id, function)
    assert seen == [("img_0000.jpg", None, False), ("img_0001.jpg", None, False)]


class Pbar(ProgressReporter):  # type: ignore[misc]
    def __init__(self) -> None:
        self.text = io.StringIO()

    def start2(self, total: int, **kwargs: Any) -> None:
        self.total, self.done = total, 0

    def advance(self, delta: int) -> None:
        self.done += delta

    def report_status(self, progress: int) -> None:
        self.done = progress

    def finish(self) -> None:
        self.text.write(f"{self.done}/{self.total}")


def test_progress_is_reported(client: Client, make_task: Callable[..., Any]) -> None:
    function = SimpleNamespace(
        spec=aa.DetectionFunctionSpec(labels=[]), detect=lambda context, image: []
    )
    pbar = Pbar()
    annotate_task(client, make_task(5).id, function, pbar=pbar)
    assert pbar.text.getvalue() == "5/5"


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_a_threshold_outside_0_to_1(client: Client, threshold: float) -> None:
    function = SimpleNamespace(spec=aa.DetectionFunctionSpec(labels=[]), detect=None)
    with pytest.raises(ValueError, match="between 0 and 1"):
        annotate_task(client, 1, function, conf_threshold=threshold)


def never(context: Any, image: Any) -> list[Any]:
    raise AssertionError("the spec does not fit: nothing may be detected")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([aa.label_spec("dog", 0)], "label 'dog' is not in dataset"),
        ([aa.label_spec("box", 0, type="polygon")], "label 'box' has type 'polygon' in the fun"),
        (
            [aa.skeleton_label_spec("cat", 0, [aa.keypoint_spec("nose", 1)])],
            "sublabel 'nose' of label 'cat' is not in dataset",
        ),
        (
            [aa.label_spec("box", 0, attributes=[aa.text_attribute_spec("note", 1)])],
            "attribute 'note' of label 'box' is not in dataset",
        ),
        (
            [aa.label_spec("car", 0, attributes=[aa.text_attribute_spec("age", 1)])],
            "attribute 'age' of label 'car' has input type",
        ),
        (
            [aa.label_spec("car", 0, attributes=[aa.select_attribute_spec("kind", 1, ["a"])])],
            "attribute 'kind' of label 'car' has values",
        ),
    ],
)
def test_a_spec_that_does_not_fit(
    client: Client, make_task: Callable[..., Any], labels: list[Any], message: str
) -> None:
    function = SimpleNamespace(spec=aa.DetectionFunctionSpec(labels=labels), detect=never)
    with pytest.raises(aa.BadFunctionError, match=message):
        annotate_task(client, make_task(1, rich_labels()).id, function)


def fails_half_way() -> Iterator[Any]:
    yield aa.rectangle(12, [1, 1, 2, 2])
    raise RuntimeError("out of ideas")


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (aa.rectangle(12, [1, 2, 3, 4], id=5), aa.BadFunctionError, "shape with preset id"),
        (
            aa.rectangle(12, [1, 2, 3, 4], source="manual"),
            aa.BadFunctionError,
            "shape with preset source",
        ),
        (
            models.LabeledShapeRequest(type="rectangle", frame=1, label_id=12, points=[1.0] * 4),
            aa.BadFunctionError,
            r"unexpected frame number \(1\)",
        ),
        (aa.rectangle(99, [1, 2, 3, 4]), aa.BadFunctionError, r"unknown label ID \(99\)"),
        (aa.tag(12), aa.BadFunctionError, "function output tag"),
        (aa.polygon(12, [1, 2, 3, 4, 5, 6]), aa.BadFunctionError, "shape of type 'polygon'"),
        (
            aa.rectangle(12, [1, 2, 3, 4], elements=[aa.keypoint(1, [1, 1])]),
            aa.BadFunctionError,
            "non-skeleton shape with elements",
        ),
        (
            aa.skeleton(16, [aa.keypoint(7, [1, 1])]),
            aa.BadFunctionError,
            r"unknown sublabel ID \(7\)",
        ),
        (
            aa.skeleton(16, [aa.keypoint(1, [1, 1]), aa.keypoint(1, [2, 2])]),
            aa.BadFunctionError,
            "multiple elements with same sublabel",
        ),
        (
            aa.skeleton(16, [aa.keypoint(1, [1, 1])]),
            aa.BadFunctionError,
            "fewer elements than expected",
        ),
        (
            aa.rectangle(11, [1, 2, 3, 4], attributes=[value(1, "c")]),
            aa.BadFunctionError,
            "unsuitable for its attribute",
        ),
        (
            aa.rectangle(11, [1, 2, 3, 4], attributes=[value(8, "c")]),
            aa.BadFunctionError,
            "attribute with unknown ID",
        ),
        ("a string", aa.BadFunctionError, "object of type 'str'"),
        (fails_half_way, RuntimeError, "out of ideas"),
    ],
)
def test_an_output_that_breaks_the_protocol(
    client: Client,
    make_task: Callable[..., Any],
    output: Any,
    error: type[Exception],
    message: str,
) -> None:
    def detect(context: Any, image: Any) -> Any:
        if context.frame_name == "img_0000.jpg":
            return [aa.rectangle(12, [1, 2, 3, 4])]
        return output() if callable(output) else [output]

    task = make_task(2, rich_labels())
    with pytest.raises(error, match=message):
        annotate_task(
            client,
            task.id,
            SimpleNamespace(spec=RICH_SPEC, detect=detect),
            allow_unmatched_labels=True,
        )
    assert task.get_annotations().shapes == []


def test_nothing_is_detected_after_a_violation(
    client: Client, make_task: Callable[..., Any]
) -> None:
    seen = []

    def detect(context: Any, image: Any) -> list[Any]:
        seen.append(context.frame_name)
        return [aa.rectangle(99, [1, 2, 3, 4])]

    function = SimpleNamespace(
        spec=aa.DetectionFunctionSpec(labels=[aa.label_spec("car", 1)]), detect=detect
    )
    with pytest.raises(aa.BadFunctionError, match="unknown label ID"):
        annotate_task(client, make_task(3).id, function)
    assert seen == ["img_0000.jpg"]


def test_a_mask_despite_conv_mask_to_poly(client: Client, make_task: Callable[..., Any]) -> None:
    function = SimpleNamespace(
        spec=aa.DetectionFunctionSpec(labels=[aa.label_spec("car", 1)]),
        detect=lambda context, image: [aa.mask(1, [1, 0, 0, 0, 0])],
    )
    task = make_task(1)
    annotate_task(client, task.id, function)
    assert len(task.get_annotations().shapes) == 1
    with pytest.raises(aa.BadFunctionError, match="conv_mask_to_poly"):
        annotate_task(client, task.id, function, conv_mask_to_poly=True)


def test_other_exceptions_of_the_sdk(client: Client) -> None:
    function = SimpleNamespace(spec=aa.DetectionFunctionSpec(labels=[]), detect=never)
    with pytest.raises(NotFoundException):
        annotate_task(client, 999_999, function)
    empty = client.tasks.create(models.TaskWriteRequest(name="empty", labels=[label("car")]))
    with pytest.raises(UnsupportedDatasetError, match="no data"):
        annotate_task(client, empty.id, function)
    empty.remove()


def test_a_frame_may_hold_any_number_of_shapes(
    client: Client, make_task: Callable[..., Any]
) -> None:
    many = SimpleNamespace(
        spec=aa.DetectionFunctionSpec(labels=[aa.label_spec("car", 0)]),
        detect=lambda context, image: [
            aa.rectangle(0, [1, 1, 2 + n / 999, 9]) for n in range(10_001)
        ],
    )
    task = make_task(count=1)
    annotate_task(client, task.id, many)
    assert len(task.get_annotations().shapes) == 10_001


def test_a_prefect_server_that_is_away_is_one_sentence(
    client: Client, make_task: Callable[..., Any]
) -> None:
    task = make_task(1, ["car"])
    function = SimpleNamespace(
        spec=aa.DetectionFunctionSpec(labels=[aa.label_spec("car", 0)]), detect=lambda *_: []
    )
    away = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with (
        temporary_settings(away),
        pytest.raises(PrefectUnavailable, match=r"http://127\.0\.0\.1:9/api does not answer"),
    ):
        annotate_task(client, task.id, function)
