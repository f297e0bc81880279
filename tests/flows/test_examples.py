"""The examples in the docstrings of the public API run."""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client

import cvat_flows
from aa_functions.training.shape_images import LABELS, make_shape_images
from cvat_flows.deployments.sandbox.process import SandboxProcess

RESULTS = {
    "CvatFlowsError",
    "EvaluationReport",
    "FramesFailed",
    "LoadedFunction",
    "RunReport",
    "SweepFailed",
    "SweepReport",
}
"""Values that the API returns or raises: the examples of the flows show them."""


@pytest.fixture
def names(
    make_task: Callable[..., Any],
    client: Client,
    sandbox: SandboxProcess,
    storage_folder: Path,
    prefect_server: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """The variables of the examples: a client, a CVAT task with two images of shapes, the truth."""
    for name, value in {"HOST": sandbox.url, "USER": "admin", "PASSWORD": "admin"}.items():
        monkeypatch.setenv(f"CVAT_{name}", value)
    images = []
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": label, "name": label} for label in LABELS]
    for number, made in enumerate(make_shape_images(2, seed=5, sizes=((320, 240),))):
        images.append(tmp_path / f"{number}.jpg")
        made.image.save(images[-1])
        name = images[-1].name
        truth["images"].append({"id": name, "file_name": name, "width": 320, "height": 240})
        truth["annotations"] += [
            {
                "image_id": name,
                "category_id": box.label,
                "bbox": [box.xtl, box.ytl, box.xbr - box.xtl, box.ybr - box.ytl],
            }
            for box in made.boxes
        ]
    truth_file = tmp_path / "truth.json"
    truth_file.write_text(json.dumps(truth))
    task = make_task(images=images, labels=list(LABELS), name="street 1")
    return {"client": client, "task_id": task.id, "truth_file": str(truth_file)}


@pytest.mark.parametrize("name", sorted({*cvat_flows.__all__} - RESULTS))
def test_examples(name: str, names: dict[str, Any]) -> None:
    exported = getattr(cvat_flows, name)
    function = getattr(exported, "fn", exported)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        function, name, globs={**vars(cvat_flows), **_exports(), **names}
    )
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_examples_of_the_package() -> None:
    assert doctest.testmod(cvat_flows).failed == 0


def _exports() -> dict[str, Any]:
    return {name: getattr(cvat_flows, name) for name in cvat_flows.__all__}
