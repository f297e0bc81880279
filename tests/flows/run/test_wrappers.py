"""Tiles and ensembles through the whole flow, and in the SDK's own driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import pytest
from cvat_sdk import Client
from PIL import Image

from aa_functions import decode_mask, load_function
from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from cvat_flows.tasks.record.manifest import functions_of_task
from cvat_flows.tasks.storage import open_storage
from tests.support.identity import identity_of

BLOBS = '''
"""Finds what is bright, as one shape of the type that is asked for."""
import numpy as np
from aa_functions import DetectionFunctionSpec, encode_mask, label_spec, mask, polygon, rectangle


class Blobs:
    results_depend_on = "image"

    def __init__(self, kind="mask", score=0.5):
        self.kind, self.score = kind, score
        self.spec = DetectionFunctionSpec(labels=[label_spec("blob", 3, type=kind)])

    def detect_batch(self, contexts, images):
        return [self.detect(*pair) for pair in zip(contexts, images)]

    def detect(self, context, image):
        bright = np.asarray(image.convert("L")) > 128
        if not bright.any():
            return []
        rows, columns = np.nonzero(bright)
        x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        if self.kind == "mask":
            return [mask(3, encode_mask(bright), score=self.score)]
        if self.kind == "polygon":
            corners = [float(v) for v in (x1, y1, x2, y1, x2, y2, x1, y2)]
            return [polygon(3, corners, score=self.score)]
        return [rectangle(3, [float(v) for v in (x1, y1, x2, y2)], score=self.score)]


create = Blobs
'''
BOXES = [(10, 10, 20, 20), (85, 30, 130, 60), (150, 100, 190, 115)]
"""In a tile, on the border of two, and on that of four."""


@pytest.fixture
def blobs(tmp_path: Path) -> str:
    path = tmp_path / "blobs.py"
    path.write_text(BLOBS)
    return str(path)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = []
    for number, box in enumerate(BOXES):
        image = Image.new("RGB", (320, 200))
        image.paste((255, 255, 255), box)
        paths.append(tmp_path / f"{number}.png")
        image.save(paths[-1])
    return paths


def tiled(blobs: str, **parameters: Any) -> dict[str, Any]:
    return {"function": blobs, "parameters": parameters, "tile": 128, "overlap": 0.4}


@pytest.mark.parametrize("kind", ["mask", "polygon", "rectangle"])
def test_tiles_through_the_flow(
    make_task: Callable[..., Any], annotate: Any, blobs: str, pictures: list[Path], kind: str
) -> None:
    task = make_task(images=pictures, labels=["blob"])
    options = {
        "function": "aa_functions.tiled",
        "function_parameters": {**tiled(blobs, kind=kind), "whole": False},
    }
    assert annotate(task, **options).error is None
    shapes = sorted(task.get_annotations().shapes, key=lambda shape: shape.frame)
    assert [(shape.frame, shape.type.value) for shape in shapes] == [(n, kind) for n in range(3)]
    for shape, (left, top, right, bottom) in zip(shapes, BOXES, strict=True):
        if kind == "mask":
            wanted = np.zeros((200, 320), dtype=bool)
            wanted[top:bottom, left:right] = True
            found = decode_mask(shape.points, image_width=320, image_height=200)
            assert np.array_equal(found, wanted)
        else:
            xs, ys = shape.points[::2], shape.points[1::2]
            assert (min(xs), min(ys), max(xs), max(ys)) == (left, top, right, bottom)
    (name,) = functions_of_task(open_storage(), identity_of(task))
    assert name.startswith("aa_functions.tiled:blobs.py@")
    assert annotate(task, **options).report.count("skipped") == 3


def test_an_ensemble_through_the_flow(
    make_task: Callable[..., Any], annotate: Any, blobs: str, pictures: list[Path]
) -> None:
    task = make_task(images=pictures, labels=["blob"])
    members = [
        {"function": blobs, "parameters": {"kind": "rectangle", "score": 0.9}},
        {
            "function": "aa_functions.tiled",
            "parameters": tiled(blobs, kind="rectangle", score=0.5),
            "weight": 3,
        },
    ]
    finished = annotate(
        task, function="aa_functions.ensemble", function_parameters={"functions": members}
    )
    assert finished.error is None
    shapes = sorted(task.get_annotations().shapes, key=lambda shape: shape.frame)
    assert [tuple(shape.points) for shape in shapes] == BOXES


def test_both_run_in_the_driver_of_the_sdk(
    make_task: Callable[..., Any], client: Client, blobs: str, pictures: list[Path]
) -> None:
    task = make_task(images=pictures, labels=["blob"])
    member = {"function": "aa_functions.tiled", "parameters": tiled(blobs, kind="rectangle")}
    function = load_function("aa_functions.ensemble", {"functions": [member, member]}).function
    cvataa.annotate_task(client, task.id, function, conf_threshold=0.3)
    shapes = sorted(task.get_annotations().shapes, key=lambda shape: shape.frame)
    assert [tuple(shape.points) for shape in shapes] == BOXES


@pytest.mark.parametrize(
    ("module", "parameters", "message"),
    [
        (
            "tiled",
            ["function=str:BLOBS", "tile=int:8"],
            "tile is 8, but must be a whole number of at least 32",
        ),
        ("tiled", ["tile=int:640"], "missing a required argument: 'function'"),
        ("tiled", ["function=str:no_such.py"], "There is no file 'no_such.py'"),
        ("ensemble", ["functions=str:BLOBS,OTHER"], "shares no label with the others; it has: "),
    ],
)
def test_mistakes_end_with_status_2_before_a_frame_is_fetched(
    make_task: Callable[..., Any],
    sandbox: SandboxProcess,
    blobs: str,
    function_file: Path,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    parameters: list[str],
    message: str,
) -> None:
    for name, value in (("HOST", sandbox.url), ("USER", "admin"), ("PASSWORD", "admin")):
        monkeypatch.setenv(f"CVAT_{name}", value)
    task = make_task(1, labels=["blob"])
    words = ["annotate", str(task.id), "--function-module", f"aa_functions.{module}"]
    for parameter in parameters:
        given = parameter.replace("BLOBS", blobs).replace("OTHER", str(function_file))
        words += ["-p", given]
    sandbox.reset_request_counts()
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not [address for address in sandbox.request_counts() if "/data?" in address]
