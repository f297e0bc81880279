"""Several threads use OpenVINO for the first time at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tests.support.ultralytics", exc_type=ImportError)
pytest.importorskip("openvino")

from aa_functions.weights import SHIPPED_FOLDER
from aa_functions.yolo import create

THREADS_AT_ONCE = """
import sys
import threading
from pathlib import Path

import numpy
import openvino

from aa_functions.backends.export import open_export

network, threads = Path(sys.argv[1]), 4
ready = threading.Barrier(threads)
failed = []


class Core(openvino.Core):
    def compile_model(self, *arguments):
        compiled = super().compile_model(*arguments)
        ready.wait()
        return compiled


def infer():
    try:
        forward = open_export(network, "openvino", threads=1, copies=1, precision="f32")()
        assert forward([numpy.zeros((32, 32, 3), numpy.uint8)])[0].shape[0] == 1
    except BaseException as error:
        failed.append(repr(error))


openvino.Core = Core
sys.setswitchinterval(1e-6)
users = [threading.Thread(target=infer) for _ in range(threads)]
for user in users:
    user.start()
for user in users:
    user.join()
sys.exit("; ".join(failed) or 0)
"""
HANG_TIMEOUT = 180
"""Seconds. The process normally takes three."""


@pytest.fixture(scope="module")
def own_weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the exports of this module only."""
    return tmp_path_factory.mktemp("own-weights")


@pytest.mark.parametrize("process", range(3))
def test_several_first_uses_do_not_deadlock(
    pictures, make_context, own_weights_folder, monkeypatch, process: int
):
    """Without the lock about one process in four hangs, so this tries three."""
    monkeypatch.setenv("CVAT_FLOWS_WEIGHTS", str(own_weights_folder))
    model = SHIPPED_FOLDER / "shapes-yolov8n.pt"
    assert create(model, backend="openvino").detect(make_context(), pictures[0])  # exports it
    (network,) = (own_weights_folder / "exports").glob("*.openvino_model")
    done = subprocess.run(
        [sys.executable, "-c", THREADS_AT_ONCE, str(network)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=HANG_TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
