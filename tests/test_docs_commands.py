"""The command blocks of the README and of docs/quickstart.md work as they are written.

They run in the order of the page, in a folder that is not the repository.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen
from cvat_sdk import Client, models

from aa_functions.training.shape_images import LABELS, make_shape_images
from aa_functions.weights import SHIPPED_FOLDER
from cvat_flows.deployments.listening import free_port
from cvat_flows.deployments.sandbox.process import SandboxProcess

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"
NOT_RUN = {
    "make demo": "it needs the repository, and its second command runs these tests",
    "python3 -m venv .venv && . .venv/bin/activate": "pip needs a package index; `make smoke` "
    "installs the wheel in new environments",
}
"""Blocks that cannot run here, by their first command, and why."""
READY = {
    "cvat-flows sandbox": "curl -sf http://127.0.0.1:8080/api/server/about",
    "cvat-flows ui": "curl -sf http://127.0.0.1:4200/api/health",
    "prefect worker": "curl -sf http://127.0.0.1:4200/api/work_pools/cvat/workers/filter "
    "-H 'Content-Type: application/json' -d '{}' | grep ONLINE",
}
"""What succeeds as soon as a program that runs in the background can be used."""


@frozen
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    file: str
    """The file that the sentence before it names."""

    @property
    def commands(self) -> list[str]:
        return re.findall(r"^\$ (.*)$", self.text, re.MULTILINE)


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        paragraph = text[: match.start()].rstrip().rpartition("\n\n")[2]
        named = re.search(r"`([\w.-]+\.(?:py|yaml))`", paragraph)
        found.append(Block(match[1], match[2], named[1] if named else ""))
    return found


def is_run(block: Block) -> bool:
    return not block.commands or without_comment(block.commands[0]) not in NOT_RUN


def without_comment(command: str) -> str:
    return command.partition("  #")[0].strip()


def script(page: Path) -> str:
    """The page as a shell script: files are written, commands run, the first failure ends it."""
    lines = ["set -eu", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for block in filter(is_run, blocks(page)):
        if block.language != "console":
            lines.append(f"cat > {block.file} <<'END'\n{block.text}END")
        for command in block.commands:
            called = without_comment(command)
            lines += [f"cat <<'END'\n$ {called}\nEND", command]
            if called.endswith("&"):
                (ready,) = [test for start, test in READY.items() if called.startswith(start)]
                lines.append(f"until {ready} > /dev/null 2>&1; do sleep 0.2; done")
    return "\n".join(lines)


def run_script(text: str, folder: Path, **variables: str) -> str:
    """Run a script, answer its questions with yes, and return what it printed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CVAT_", "PREFECT_"))
    }
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "200",
        "CVAT_FLOWS_OFFLINE": "1",
        **variables,
    }
    keyboard, terminal = pty.openpty()
    os.write(keyboard, b"y\n" * 10)
    shell = subprocess.Popen(
        ["bash", "-c", text],
        cwd=folder,
        env=environment,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=900)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
        os.close(keyboard)
        os.close(terminal)
    assert shell.returncode == 0, output
    return output


def test_every_block_is_run_or_has_a_reason() -> None:
    found = [block for page in (README, QUICKSTART) for block in blocks(page)]
    runs = [block for block in found if is_run(block)]
    assert all(block.commands or block.file for block in runs)
    left_out = {
        block.commands[0].partition("  #")[0].strip() for block in found if block not in runs
    }
    assert left_out == set(NOT_RUN)
    for block in found:  # nothing in a block of commands is passed over
        assert block.language in ("console", "python", "yaml")
        if block.language == "console":
            assert len(block.commands) == len(block.text.splitlines())


@pytest.mark.slow
def test_the_quick_start(tmp_path: Path) -> None:
    output = run_script(script(QUICKSTART).replace("8080", str(free_port())), tmp_path)
    assert "the function fits the task" in output
    assert (tmp_path / "quickstart" / "preview-1.html").exists()
    assert "19 of 20 frames annotated, 1 failed" in output
    assert "exit status 1" in output
    assert "1 of 1 frame annotated, 19 skipped (19 done before)" in output
    deleted = re.findall(r"shapes\W+1\W+20\W+(\d+)\W+0\b", output)
    assert len(deleted) == 2, output  # the dry run and the undo
    assert deleted[0] == deleted[1] != "0"


@pytest.fixture
def project(client: Client) -> Iterator[Any]:
    """The project that the rules name. It ends after its tasks."""
    labels = [models.PatchedLabelRequest(name=name) for name in LABELS]
    made = client.projects.create(models.ProjectWriteRequest(name="street", labels=labels))
    yield made
    made.remove()


@pytest.fixture
def task(project: Any, make_task: Callable[..., Any], tmp_path: Path) -> Any:
    """A CVAT task of drawn shapes; beside it there is one in the project."""
    images = []
    for number, made in enumerate(make_shape_images(4, seed=3, sizes=((320, 240),))):
        images.append(tmp_path / f"{number}.jpg")
        made.image.save(images[-1])
    make_task(images=images, project_id=project.id, name="new in street")
    return make_task(images=images, labels=list(LABELS), name="alone")


@pytest.mark.slow
def test_the_readme(task: Any, sandbox: SandboxProcess, tmp_path: Path) -> None:
    answer = httpx.post(
        f"{sandbox.url}/api/auth/access_tokens",
        json={"name": "readme", "read_only": False},
        auth=sandbox.admin,
        trust_env=False,
        timeout=60,
    )
    # YOLOv8n of COCO is not in the repository: the project's own model stands for it.
    weights = tmp_path / "home" / ".cvat-flows" / "weights" / "yolov8n.pt"
    weights.parent.mkdir(parents=True)
    weights.write_bytes((SHIPPED_FOLDER / "shapes-yolov8n.pt").read_bytes())
    port = str(free_port())
    text = script(README)
    for written, here in (
        ("https://cvat.example.com", sandbox.url),
        ("CVAT_ACCESS_TOKEN=...", f"CVAT_ACCESS_TOKEN={answer.json()['value']}"),
        (" 123", f" {task.id}"),
        ("cvat-flows ui &", f"cvat-flows ui --port {port} &"),
        ("4200", port),
    ):
        assert written in text
        text = text.replace(written, here)
    output = run_script(text, tmp_path / "home")
    assert "the function fits the task" in output
    assert (tmp_path / "home" / f"preview-{task.id}.html").exists()
    assert "4 of 4 frames annotated" in output
    assert task.get_annotations().shapes == []  # after the undo
    assert "new in street" in output
    assert "02:00" in output
    assert "Europe/Berlin" in output
