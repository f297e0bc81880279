"""The notebook docs/annotate.ipynb runs, and its outputs are what it promises."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from aa_functions.training.shape_images import LABELS, make_shape_images
from cvat_flows.deployments.sandbox.process import SandboxProcess

NOTEBOOK = Path(__file__).parents[1] / "docs" / "annotate.ipynb"
FRAMES = 12
DAMAGED = 7


# Jupyter's client starts its kernel with an event loop of its own, and says so in warnings.
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(
    make_task: Callable[..., Any],
    sandbox: SandboxProcess,
    storage_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = []
    for number, made in enumerate(make_shape_images(FRAMES, seed=7, sizes=((320, 240),))):
        images.append(tmp_path / f"{number:02d}.jpg")
        made.image.save(images[-1])
    task = make_task(images=images, labels=list(LABELS), name="street <1>")
    variables = {"HOST": sandbox.url, "USER": "admin", "PASSWORD": "admin", "TASK": str(task.id)}
    for name, value in variables.items():
        monkeypatch.setenv(f"CVAT_{name}", value)
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    sandbox.set_faults([{"action": "corrupt_frame", "task": task.id, "frame": DAMAGED}])
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    try:
        NotebookClient(
            notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
    finally:
        sandbox.clear_faults()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    data = [output["data"] for output in outputs if "data" in output]
    reports = [one for one in data if one["text/plain"].startswith("<RunReport")]
    assert reports[0]["text/plain"].startswith(f"<RunReport of task {task.id}: 9 of 10 frames wo")
    assert "11 of 12 frames annotated, 1 failed" in reports[1]["text/plain"]
    page = reports[1]["text/html"]
    assert "street &lt;1&gt;" in page
    assert "<td>07.jpg</td>" in page
    assert (tmp_path / f"preview-{task.id}.html").exists()
    tables = [one for one in data if 'class="dataframe"' in one.get("text/html", "")]
    assert len(tables) == 2
    assert sum("image/png" in one for one in data) == 2
    assert task.get_annotations().shapes
