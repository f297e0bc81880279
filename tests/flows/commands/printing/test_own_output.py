"""Standard output holds what the command prints, and nothing of the function."""

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

LOUD = """
import ctypes, os, subprocess, sys, threading

from aa_functions import DetectionFunctionSpec, label_spec, rectangle


def shout(where):
    print("print", where)
    sys.stdout.write(f"write {where}\\n")
    print("original", where, file=sys.__stdout__, flush=True)
    os.write(1, f"descriptor {where}\\n".encode())
    libc = ctypes.CDLL(None)
    libc.puts(f"libc {where}".encode())
    libc.fflush(None)
    subprocess.run(["echo", "program", where], check=True)
    thread = threading.Thread(target=print, args=["thread", where])
    thread.start()
    thread.join()


shout("import")


class Cars:
    def __init__(self):
        shout("create")

    @property
    def spec(self):
        shout("spec")
        return DetectionFunctionSpec(labels=[label_spec("car", 0)])

    def detect(self, context, image):
        shout("detect")
        return (rectangle(0, box) for box in self.boxes())

    def boxes(self):
        shout("results")
        yield [1, 1, 9, 9]


create = Cars
"""
WAYS = ("print", "write", "original", "descriptor", "libc", "program", "thread")


@pytest.fixture
def run(sandbox: SandboxProcess, storage_folder: Path, tmp_path: Path) -> Callable[..., Any]:
    function = tmp_path / "loud.py"
    function.write_text(LOUD)
    kept = {name: value for name, value in os.environ.items() if "PREFECT" not in name}
    environment = {
        **kept,
        "CVAT_HOST": sandbox.url,
        "CVAT_USER": "admin",
        "CVAT_PASSWORD": "admin",
        "CVAT_FLOWS_STORAGE": str(storage_folder),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "COLUMNS": "200",
    }

    def run(*arguments: object) -> Any:
        return subprocess.run(
            [
                sys.executable, "-m", "cvat_flows.flows.cli",
                *map(str, arguments), "--function-file", str(function),
            ],
            env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def test_doctor_prints_only_json(run: Callable[..., Any]) -> None:
    done = run("doctor", "--json", "--only", "function")
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert {verdict["what"] for verdict in verdicts} >= {"function", "detection"}
    for where in ("import", "create", "spec", "detect", "results"):
        for way in WAYS:
            assert f"{way} {where}\n" in done.stderr, (way, where)


def test_annotate_prints_only_its_table(
    run: Callable[..., Any], make_task: Callable[..., Any]
) -> None:
    task = make_task(2)
    done = run("annotate", task.id)
    assert done.returncode == 0, done.stderr
    assert frames_of(task) == [0, 1]
    assert "2 of 2 frames annotated" in done.stdout
    assert not [
        way for way in WAYS for where in ("detect", "create") if f"{way} {where}" in done.stdout
    ]
    assert "descriptor detect\n" in done.stderr


def test_a_command_without_standard_output(run: Callable[..., Any], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cvat_flows.flows.cli", "--help"]
    code = "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
