"""Modules that are functions, loaded as `cvat-cli` does."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)

from cvat_cli._internal.common import FunctionLoader
from cvat_sdk.auto_annotation import DetectionFunctionSpec

from aa_functions.errors import WeightsNotFoundError
from aa_functions.weights import SHIPPED_FOLDER

MODEL = SHIPPED_FOLDER / "shapes-yolov8n.pt"


@pytest.fixture
def yolov8n(monkeypatch):
    """Import the module again, because it keeps its model."""
    monkeypatch.delitem(sys.modules, "aa_functions.yolov8n", raising=False)
    return importlib.import_module("aa_functions.yolov8n")


def test_cvat_cli_loads_and_runs_the_module(pictures, make_context):
    function = FunctionLoader("aa_functions.shapes", None, {}).load()
    assert isinstance(function.spec, DetectionFunctionSpec)
    assert function.detect(make_context(), pictures[0])


def test_cvat_cli_loads_the_factory(pictures, make_context):
    parameters = {"model": "shapes-yolov8n", "imgsz": 480, "backend": "torch", "classes": "star"}
    function = FunctionLoader("aa_functions.yolo", None, parameters).load()
    assert [label.name for label in function.spec.labels] == ["star"]
    assert function.detect_batch([make_context()] * 8, pictures)


def test_detect_batch_of_a_module_finds_what_detect_finds(pictures, make_context):
    from aa_functions import shapes

    batch = shapes.detect_batch([make_context()] * 2, pictures[:2])
    for found, picture in zip(batch, pictures[:2], strict=True):
        single = shapes.detect(make_context(), picture)
        assert len(found) == len(single)
        assert [shape.label_id for shape in found] == [shape.label_id for shape in single]


def test_yolov8n_without_weights_says_what_to_do(yolov8n):
    with pytest.raises(WeightsNotFoundError, match=r"no weights .*put the file into"):
        FunctionLoader("aa_functions.yolov8n", None, {}).load()


def test_yolov8n_finds_weights_that_arrive_later(yolov8n, weights_folder):
    with pytest.raises(WeightsNotFoundError):
        _ = yolov8n.spec
    placed = weights_folder / "yolov8n.pt"
    placed.write_bytes(MODEL.read_bytes())
    try:
        assert len(yolov8n.spec.labels) == 4
    finally:
        placed.unlink()


def test_yolov8n_with_weights_from_the_environment(yolov8n, monkeypatch, pictures, make_context):
    monkeypatch.setenv("CVAT_FLOWS_YOLOV8N", str(MODEL))
    assert yolov8n.detect(make_context(), pictures[0])
    assert not hasattr(yolov8n, "create")


@pytest.mark.parametrize("module", ["aa_functions", "aa_functions.yolov8n", "aa_functions.shapes"])
def test_importing_needs_no_torch(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'ultralytics'}} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"


def test_detecting_prints_nothing_and_leaves_no_files(tmp_path, weights_folder):
    """No output, no warning, no file in the current or home folder, no telemetry."""
    code = (
        "import sys; from types import SimpleNamespace as C; from PIL import Image;"
        "from aa_functions import shapes;"
        "shapes.detect(C(frame_name='a', conf_threshold=None), Image.new('RGB', (64, 48)));"
        "assert not any(name.startswith('openvino_telemetry') and module"
        " for name, module in sys.modules.items())"
    )
    here, home, own = (tmp_path / name for name in ("here", "the-home", "own-weights"))
    for folder in (here, home):
        folder.mkdir()
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=here,
        env={
            **os.environ,
            "HOME": str(home),
            "CVAT_FLOWS_WEIGHTS": str(own),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.stdout, answer.stderr, answer.returncode) == ("", "", 0)
    assert list(here.iterdir()) == []
    assert list(home.iterdir()) == []
