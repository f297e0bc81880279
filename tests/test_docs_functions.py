"""The code and the commands of docs/functions.md run as they are written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest
from cvat_cli.__main__ import main as cvat_cli

from aa_functions import PresentAnnotation
from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from tests.test_docs_python import blocks

PAGE = Path(__file__).parents[1] / "docs" / "functions.md"


@pytest.fixture
def page(
    make_task: Callable[..., Any],
    sandbox: SandboxProcess,
    storage_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """An environment as the page supposes it, with a CVAT task of three pictures."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("HOST", sandbox.url), ("USER", "admin"), ("PASSWORD", "admin")):
        monkeypatch.setenv(f"CVAT_{name}", value)
    images = []
    for number in range(3):
        image = PIL.Image.new("RGB", (320, 240))
        if number:
            image.paste((255, 255, 255), (40, 60, 80 * number, 120))
        images.append(tmp_path / f"{number}.png")
        image.save(images[-1])
    return make_task(images=images, labels=["car", "spot"])


def run_code(folder: Path) -> dict[str, Any]:
    """Run the page's code in order. A block that begins with a file name is also that file."""
    names: dict[str, Any] = {"__name__": "docs_functions"}
    for line, code in blocks(PAGE):
        if found := re.match(r"# (\w+\.py)\n", code):
            (folder / found[1]).write_text(code)
        # The line breaks make a traceback name the line of the page.
        exec(compile("\n" * line + code, str(PAGE), "exec"), names)
    return names


def test_the_tutorial(page: Any, sandbox: SandboxProcess, tmp_path: Path, capsys: Any) -> None:
    names = run_code(tmp_path)
    tutorial = PAGE.read_text().partition("## What a function is told")[0]
    commands = re.findall(r"^\$ (.*)$", tutorial, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        program, *words = shlex.split(command.replace(" 12 ", f" {page.id} "))
        if program == "cvat-cli":
            shapes = page.get_annotations().shapes
            server = ["--server-host", sandbox.url, "--auth", "admin:admin"]
            assert cvat_cli([*server, *words]) == 0
            again = page.get_annotations().shapes
        else:
            assert main(words) == 0, command
    output = capsys.readouterr().out
    assert "3 of 3 frames annotated" in output
    assert "3 skipped (3 done before)" in output
    spots = [one for one in shapes if one.points[0] == 40]
    assert sorted((one.frame, tuple(one.points)) for one in spots) == [
        (1, (40, 60, 80, 120)),
        (2, (40, 60, 160, 120)),
    ]
    assert len(shapes) == 3 + 2
    assert len(again) == len(shapes) + 2
    # Other weights are another function.
    fingerprints = {names["load_function"]("spots.py", {"weights": "spots.json"}).fingerprint}
    (tmp_path / "spots.json").write_text('{"brightness": 100}')
    fingerprints.add(names["load_function"]("spots.py", {"weights": "spots.json"}).fingerprint)
    assert len(fingerprints) == 2


def test_the_second_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_code(tmp_path)
    assert names["needs_annotations"] is True
    present = [
        PresentAnnotation(label=label, type="rectangle", points=(1.0, 2.0, 3.0, 4.0))
        for label in ("car", "dog")
    ]
    (found,) = names["detect"](SimpleNamespace(annotations=present), None)
    assert found.points == [1, 2, 3, 4]
