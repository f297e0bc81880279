"""The command in its own process: without a Prefect server, and killed during a run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import get_current_settings

from cvat_flows.deployments.sandbox.process import SandboxProcess
from tests.flows.conftest import frames_of
from tests.support.waiting import wait_until

HELD_FUNCTION = """
import time
from pathlib import Path

from aa_functions import DetectionFunctionSpec, label_spec, rectangle

spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])


def fingerprint_inputs():
    return {}  # the files beside it decide no result


def detect(context, image):
    calls = Path(__file__ + ".calls")
    while Path(__file__ + ".hold").exists() and len(calls.read_text().split()) >= 9:
        time.sleep(0.05)
    with calls.open("a") as file:
        print(context.frame_name, file=file)
    return [rectangle(0, [1, 2, 3, 4]), rectangle(0, [5, 6, 7, 8])]
"""


@pytest.fixture
def environment(sandbox: SandboxProcess, storage_folder: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has configured only CVAT."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {
        **kept,
        "CVAT_HOST": sandbox.url,
        "CVAT_USER": "admin",
        "CVAT_PASSWORD": "admin",
        "CVAT_FLOWS_STORAGE": str(storage_folder),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "COLUMNS": "200",
    }


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cvat_flows.flows.cli", *map(str, arguments)]


def test_without_a_prefect_server(
    make_task: Callable[..., Any], function_file: Path, environment: dict[str, str]
) -> None:
    task = make_task(10)
    done = subprocess.run(
        command(
            "annotate", task.id, "--function-file", function_file, "-p", "fail=str:img_0003.jpg"
        ),
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "9 of 10 frames annotated, 1 failed" in done.stdout
    assert "cannot process img_0003.jpg" in done.stdout
    assert "This run is not recorded" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ERROR" not in done.stderr
    assert frames_of(task) == [0, 1, 2, *range(4, 10)]


def test_the_log_level(
    make_task: Callable[..., Any], function_file: Path, environment: dict[str, str]
) -> None:
    task = make_task(1)
    errors = []
    for level in ([], ["--log-level", "info"]):
        done = subprocess.run(
            command("annotate", task.id, "-f", function_file, *level),
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        errors.append(done.stderr)
    line = re.compile(r"^\d\d:\d\d:\d\d INFO CVAT task: http", re.MULTILINE)
    assert [bool(line.search(text)) for text in errors] == [False, True]


@pytest.mark.parametrize(
    ("line", "expected", "never"),
    [
        ("cvat-flows anno", {"annotate", "annotate-new"}, {"undo"}),
        ("cvat-flows undo --dr", {"--dry-run"}, {"--yes"}),
        ("cvat-flows annotate 12 --existing ", {"keep", "replace", "clear"}, {"annotate"}),
        ("cvat-flows annotate 12 -f y", {"yolo", "yolov8n"}, {"shapes"}),
        ("cvat-flows functions check sh", {"shapes"}, {"yolo"}),
    ],
)
def test_a_shell_completes(
    environment: dict[str, str], tmp_path: Path, line: str, expected: set[str], never: set[str]
) -> None:
    answer = tmp_path / "answer"
    done = subprocess.run(
        command(),
        env={
            **environment,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = {word.strip() for word in answer.read_text().split("\n")}
    assert expected <= words
    assert not never & words


@pytest.mark.parametrize(
    ("killed_at", "way"),
    [("detecting", "threads"), ("uploading", "threads"), ("uploading", "Prefect")],
)
def test_killed_and_run_again(
    request: pytest.FixtureRequest,
    make_task: Callable[..., Any],
    environment: dict[str, str],
    tmp_path: Path,
    sandbox: SandboxProcess,
    killed_at: str,
    way: str,
) -> None:
    task = make_task(24, segment_size=6, data={"chunk_size": 6})
    function = tmp_path / "held.py"
    function.write_text(HELD_FUNCTION)
    calls, hold = tmp_path / "held.py.calls", tmp_path / "held.py.hold"
    calls.touch()
    # After a kill, the next run waits for what may still become of the last requests.
    environment["CVAT_FLOWS_REQUEST_LIFETIME"] = "3"
    # The run stops there until it is killed: at the tenth frame, or at the second job's upload.
    if killed_at == "detecting":
        hold.touch()
    else:
        stall = {"action": "stall", "seconds": 600, "method": "PATCH", "skip": 1, "times": None}
        sandbox.set_faults([{**stall, "path": "/jobs/.*/annotations$"}])
    if way == "Prefect":
        request.getfixturevalue("prefect_server")
        environment["PREFECT_API_URL"] = str(get_current_settings().api.url)
    arguments = command(
        "annotate", task.id, "--function-file", function, "--frames-per-run", 3,
        "--wait-for-writer", 120,
    )  # fmt: skip

    def is_there() -> bool:
        assert first.poll() is None
        if killed_at == "uploading":
            return bool(frames_of(task)) and sandbox.list_faults()[0]["hits"] > 0
        return len(calls.read_text().split()) > 8

    first = subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(is_there, what=f"the run is {killed_at}")
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
        hold.unlink(missing_ok=True)
        sandbox.clear_faults()
    seen = len(calls.read_text().split())

    second = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert second.returncode == 0, second.stderr
    assert frames_of(task) == sorted([*range(24), *range(24)])
    # Only the batches in progress were detected again.
    assert len(calls.read_text().split()) <= 24 + 2 * 3
    assert seen >= 9


SLOW_FUNCTION = """
import time
from pathlib import Path

from aa_functions import DetectionFunctionSpec, label_spec, rectangle

spec = DetectionFunctionSpec(labels=[label_spec("car", 0)])


def detect(context, image):
    calls = Path(__file__ + ".calls")
    with calls.open("a") as file:
        print(context.frame_name, file=file)
    if len(calls.read_text().split()) == 4:
        time.sleep(300)
    return [rectangle(0, [1, 2, 3, 4])]
"""


def test_an_interrupted_command_waits_for_no_call_and_loses_nothing(
    make_task: Callable[..., Any],
    environment: dict[str, str],
    tmp_path: Path,
    sandbox: SandboxProcess,
) -> None:
    task = make_task(8)
    function = tmp_path / "slow.py"
    function.write_text(SLOW_FUNCTION)
    calls = tmp_path / "slow.py.calls"
    calls.touch()
    arguments = command("annotate", task.id, "--function-file", function)
    first = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(calls.read_text().split()) == 4, what="the function is busy")
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=60)  # The call takes 300 s.
    finally:
        first.kill()
    assert first.returncode == 130
    assert "run the same command again to continue" in errors
    assert "Traceback" not in errors
    second = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert second.returncode == 0, second.stderr
    assert frames_of(task) == list(range(8))
    # The second process detects on the frames from the fourth on.
    assert len(calls.read_text().split()) == 4 + 5
