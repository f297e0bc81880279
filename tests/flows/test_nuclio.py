"""A Nuclio function annotates CVAT tasks like any other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from cvat_sdk import models
from cvat_sdk.masks import decode_mask

from aa_functions.remote import client as remote_client
from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from tests.support.nuclio_server import NuclioServer

SPEC = [
    {"name": "car", "type": "rectangle"},
    {"name": "road", "type": "mask"},
    {"name": "day", "type": "tag"},
    {
        "name": "person",
        "type": "skeleton",
        "sublabels": [{"name": name, "type": "points"} for name in ("head", "foot")],
    },
]
SVG = "".join(
    f'<circle r="1.5" cx="{x}" cy="{x}" data-type="element node" data-element-id="{n}" '
    f'data-node-id="{n}" data-label-name="{name}"></circle>'
    for n, (x, name) in enumerate((("30", "head"), ("60", "foot")), 1)
)


def detect(image: PIL.Image.Image, threshold: float | None) -> list[dict[str, Any]]:
    return [
        {"label": "car", "type": "rectangle", "points": [1, 2, 30, 40], "confidence": "0.9"},
        {"label": "car", "type": "rectangle", "points": [1, 2, 30, 40], "confidence": "0.4"},
        {"label": "road", "type": "mask", "mask": [1, 0, 1, 1, 5, 6, 6, 7], "confidence": "0.8"},
        {"label": "day", "type": "tag"},
        {
            "label": "person",
            "type": "skeleton",
            "confidence": "0.7",
            "elements": [{"label": "foot", "type": "points", "outside": 0, "points": [9, 8]}],
        },
    ]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NuclioServer]:
    monkeypatch.setattr(remote_client, "FIRST_WAIT", 0.001)
    with NuclioServer(detect) as server:
        yield server


@pytest.fixture
def task(make_task: Callable[..., Any]) -> Any:
    person = models.PatchedLabelRequest(
        name="person",
        type="skeleton",
        svg=SVG,
        sublabels=[models.SublabelRequest(name=name, type="points") for name in ("head", "foot")],
    )
    return make_task(count=6, labels=["car", "road", "day", person])


def test_all_kinds_are_uploaded_and_the_second_run_asks_nothing(
    server: NuclioServer, task: Any, annotate: Callable[..., Any]
) -> None:
    options = {
        "function": "aa_functions.nuclio",
        "function_parameters": {"url": server.url, "spec": json.dumps(SPEC), "probe": False},
        "conf_threshold": 0.5,
    }
    server.faults.extend([503, 500])
    finished = annotate(task, **options)
    assert finished.error is None
    annotations = task.get_annotations()
    assert Counter(shape.type.value for shape in annotations.shapes) == {
        "rectangle": 6,
        "mask": 6,
        "skeleton": 6,
    }
    assert len(annotations.tags) == 6
    mask = next(shape for shape in annotations.shapes if shape.type.value == "mask")
    bitmap = decode_mask(mask.points, image_width=64, image_height=48)
    assert bitmap[6:8, 5:7].tolist() == [[True, False], [True, True]]
    skeleton = next(shape for shape in annotations.shapes if shape.type.value == "skeleton")
    assert sorted(element.outside for element in skeleton.elements) == [False, True]
    assert {request["threshold"] for request in server.requests} == {0.5}

    asked = len(server.requests)
    assert asked == 6 + 2
    annotate(task, **options)
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"url": "http://127.0.0.1:9", "retries": 0}, "does not answer (Connection refused"),
        ({"url": "SANDBOX", "retries": 0}, "'url' must be that of a Nuclio detector"),
        ({"url": "http://127.0.0.1:9", "spec": "[]"}, "must be a list of labels"),
    ],
)
def test_a_mistake_ends_with_status_2_before_the_first_frame(
    task: Any,
    parameters: dict[str, Any],
    text: str,
    sandbox: SandboxProcess,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CVAT_HOST", sandbox.url)
    monkeypatch.setenv("CVAT_USER", "admin")
    monkeypatch.setenv("CVAT_PASSWORD", "admin")
    given = {"spec": json.dumps(SPEC), **parameters}
    given["url"] = given["url"].replace("SANDBOX", sandbox.url)
    options = [f"{key}={type(value).__name__}:{value}" for key, value in given.items()]
    arguments = [word for option in options for word in ("-p", option)]
    status = main(
        ["annotate", str(task.id), "--function-module", "aa_functions.nuclio", *arguments]
    )
    said = capsys.readouterr().err
    assert status == 2, said
    assert text in said
    assert "Traceback" not in said
