"""The code of docs/python.md runs as it is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aa_functions.training.shape_images import LABELS, make_shape_images
from cvat_flows.deployments.sandbox.process import SandboxProcess

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
FRAMES = 10
DAMAGED = 3


@pytest.fixture
def tasks(make_task: Callable[..., Any], tmp_path: Path, sandbox: SandboxProcess) -> list[Any]:
    """Three CVAT tasks with the same pictures; the last has a frame that cannot be decoded."""
    images = []
    for number, made in enumerate(make_shape_images(FRAMES, seed=5, sizes=((320, 240),))):
        images.append(tmp_path / f"{number:02d}.jpg")
        made.image.save(images[-1])
    tasks = [make_task(images=images, labels=list(LABELS), name=f"street-{n}") for n in range(3)]
    sandbox.set_faults([{"action": "corrupt_frame", "task": tasks[2].id, "frame": DAMAGED}])
    return tasks


def test_code_runs_in_the_order_of_the_page(
    tasks: list[Any],
    sandbox: SandboxProcess,
    storage_folder: Path,
    prefect_server: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CVAT_HOST", sandbox.url)
    monkeypatch.setenv("CVAT_USER", "admin")
    monkeypatch.setenv("CVAT_PASSWORD", "admin")
    page: dict[str, Any] = {"__name__": "docs_python"}
    try:
        for line, code in blocks(PAGE):
            for example, task in zip(("101", "102", "103"), tasks, strict=True):
                code = code.replace(example, str(task.id))
            # The line breaks make a traceback name the line of the page.
            exec(compile("\n" * line + code, str(PAGE), "exec"), page)
    finally:
        sandbox.clear_faults()

    counts = [len(task.get_annotations().shapes) for task in tasks]
    assert all(counts)
    assert page["annotations"] == counts[1]
    assert len(page["table"]) == FRAMES
    assert [row.frame for row in page["report"].failed] == [DAMAGED]
    assert page["report"].created == counts[2]
    new = [row.task.id for row in page["sweep"].rows]
    assert tasks[1].id not in new  # the subflow annotated all of it
    assert tasks[2].id in new  # a frame failed
    assert f"9 of {FRAMES} frames annotated, 1 failed" in capsys.readouterr().out


def blocks(page: Path) -> list[tuple[int, str]]:
    """The fenced Python blocks of a page, each with the number of lines before it."""
    text = page.read_text()
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]
