"""A function that ends the process on one image costs that frame, not the task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.flows.conftest import frames_of

FUNCTION = """
import json, os, signal, time
from pathlib import Path

from aa_functions import DetectionFunctionSpec, label_spec, rectangle


def wait_until_no_note_names(frame):
    # A finished batch leaves the note when the function has the next one already.
    folder, end = Path(os.environ["CVAT_FLOWS_STORAGE"], "calls"), time.monotonic() + 60
    while time.monotonic() < end:
        notes = [json.loads(path.read_text()) for path in folder.rglob("[!.]*.json")]
        if notes and not any(frame in note["with_function"] for note in notes):
            return
        time.sleep(0.01)


class Cars:
    spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])

    def fingerprint_inputs(self):
        return {}  # the notes that it reads are no inputs

    def detect(self, context, image):
        with open(os.environ["CALLS"], "a") as calls:
            print(context.frame_name[4:8], end=" ", file=calls)
        if context.frame_name[4:8] in os.environ["DEADLY"].split():
            if "OUT_OF_NOTES" in os.environ:
                wait_until_no_note_names(int(os.environ["OUT_OF_NOTES"]))
            if os.environ["HOW"] == "exit":
                os._exit(0)
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)  # the signal may reach another thread first
        return [rectangle(0, [1, 1, 9, 9])]


class InBatches(Cars):
    def detect_batch(self, contexts, images):
        return [self.detect(*one) for one in zip(contexts, images)]


create = NAME
"""


class Worker:
    """Runs the command in a process of its own, each time on another machine."""

    def __init__(self, folder: Path, sandbox: SandboxProcess, storage: Path) -> None:
        self.folder = folder
        self.function = folder / "deadly.py"
        kept = {name: value for name, value in os.environ.items() if "PREFECT" not in name}
        self.environment = {
            **kept,
            "CVAT_HOST": sandbox.url,
            "CVAT_USER": "admin",
            "CVAT_PASSWORD": "admin",
            "CVAT_FLOWS_STORAGE": str(storage),
            "PREFECT_HOME": str(folder / "prefect"),
            "COLUMNS": "200",
            "CALLS": str(folder / "calls"),
            "HOW": "signal",
            "DEADLY": "",
        }

    def __call__(self, task: Any, *flags: str) -> Any:
        command = [
            sys.executable, "-m", "cvat_flows.flows.cli", "annotate", str(task.id),
            "--function-file", str(self.function), "--max-failed-frames", "20",
            "--frames-per-run", "4", "--wait-for-writer", "120", *flags,
        ]  # fmt: skip
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )

    def calls(self) -> list[int]:
        path = self.folder / "calls"
        called = [int(number) for number in path.read_text().split()] if path.exists() else []
        path.write_text("")
        return called


@pytest.fixture
def worker(tmp_path: Path, sandbox: SandboxProcess, storage_folder: Path) -> Worker:
    return Worker(tmp_path, sandbox, storage_folder)


def notes(storage: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in storage.glob("calls/**/*.json")]


@pytest.mark.parametrize(("name", "how"), [("Cars", "signal"), ("InBatches", "exit")])
def test_a_frame_that_ends_the_process(
    make_task: Callable[..., Any], worker: Worker, storage_folder: Path, name: str, how: str
) -> None:
    worker.function.write_text(FUNCTION.replace("NAME", name))
    worker.environment |= {"DEADLY": "0005", "HOW": how, "OUT_OF_NOTES": "0"}
    task = make_task(12, segment_size=6)

    first = worker(task)
    assert first.returncode == (0 if how == "exit" else -11)
    assert frames_of(task) == []
    assert 5 in worker.calls()

    # Somebody may have killed the process, so its batch is tried once more, after the others.
    second = worker(task)
    assert second.returncode == first.returncode
    called = worker.calls()
    assert called[-1] == 5
    assert not {9, 10, 11}.intersection(called[called.index(3) :])

    third = worker(task)
    assert third.returncode == first.returncode
    # The others were uploaded before the frames of the batch were tried one by one.
    left = set(range(12)) - set(frames_of(task))
    assert 5 in left
    assert left <= {3, 4, 5, 6, 7, 8}, "its batch, and the one that waited"
    assert worker.calls()[-1] == 5

    fourth = worker(task)
    assert fourth.returncode == 1, fourth.stderr
    assert "the function ended the process three times when it had this frame" in fourth.stdout
    assert frames_of(task) == [n for n in range(12) if n != 5]
    assert 5 not in worker.calls()

    fifth = worker(task)
    assert fifth.returncode == 1
    assert worker.calls() == []
    assert [note["deadly"] for note in notes(storage_folder)] == [[5]]

    worker.environment["DEADLY"] = ""
    assert worker(task, "--fresh").returncode == 0
    assert frames_of(task) == list(range(12))
    assert sorted(worker.calls()) == list(range(12))
    assert notes(storage_folder) == []


def test_several_deadly_frames_in_several_batches(
    make_task: Callable[..., Any], worker: Worker
) -> None:
    worker.function.write_text(FUNCTION.replace("NAME", "InBatches"))
    worker.environment["DEADLY"] = "0001 0009"
    task = make_task(12)
    deaths = 0
    while worker(task).returncode == -11:
        deaths += 1
        assert deaths < 8
    assert frames_of(task) == [n for n in range(12) if n not in (1, 9)]
    assert deaths <= 6


def test_a_run_that_survives_leaves_no_note(
    make_task: Callable[..., Any], worker: Worker, storage_folder: Path
) -> None:
    worker.function.write_text(FUNCTION.replace("NAME", "Cars"))
    assert worker(make_task(6)).returncode == 0
    assert notes(storage_folder) == []


def test_all_or_none_stays_all_or_none(make_task: Callable[..., Any], worker: Worker) -> None:
    worker.function.write_text(FUNCTION.replace("NAME", "Cars"))
    worker.environment["DEADLY"] = "0005"
    task = make_task(8)
    for _ in range(4):
        worker(task, "--max-failed-frames", "0")
    assert frames_of(task) == []
