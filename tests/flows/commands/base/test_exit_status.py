"""The exit status of every command, in every kind of situation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from cvat_flows.flows.commands.base.exit_status import DONE, FAILED, MEANINGS, MISTAKE, SERVER

AWAY = "http://127.0.0.1:9"

WHERE = ["--projects", "no such project"]

CASES = [
    # command, situation, arguments, status
    ("annotate", "", ["TASK", "FUNCTION"], DONE),
    ("annotate", "", ["TASK", "FUNCTION", "-p", "fail=str:img_0001.jpg"], FAILED),
    (
        "annotate",
        "",
        ["TASK", "FUNCTION", "-p", "fail=str:img_0001.jpg", "--max-failed-frames", "0"],
        FAILED,
    ),
    ("annotate", "", ["TASK", "FUNCTION", "--frames", "9"], MISTAKE),
    ("annotate", "", ["TASK", "FUNCTION", "-p", "label=str:cat"], MISTAKE),
    ("annotate", "", ["999999", "FUNCTION"], MISTAKE),
    ("annotate", "", ["TASK", "--function-module", "no.such"], MISTAKE),
    ("annotate", "bad storage", ["TASK", "FUNCTION"], MISTAKE),
    ("annotate", "CVAT away", ["TASK", "FUNCTION"], SERVER),
    ("annotate", "wrong password", ["TASK", "FUNCTION"], SERVER),
    ("annotate", "no permission", ["TASK", "FUNCTION"], SERVER),
    ("annotate", "Prefect away", ["TASK", "FUNCTION"], SERVER),
    ("preview", "", ["TASK", "FUNCTION", "--output", "PAGE"], DONE),
    ("preview", "", ["TASK", "FUNCTION", "-p", "fail=str:img_0001.jpg"], FAILED),
    ("preview", "", ["TASK", "FUNCTION", "--lowest-score", "2"], MISTAKE),
    ("preview", "CVAT away", ["TASK", "FUNCTION"], SERVER),
    ("preview", "Prefect away", ["TASK", "FUNCTION"], SERVER),
    ("match", "", ["TASK", "FUNCTION"], DONE),
    ("match", "", ["TASK", "FUNCTION", "-p", "label=str:cat"], MISTAKE),
    (
        "match",
        "",
        ["TASK", "FUNCTION", "-p", "label=str:cat", "--allow-unmatched-labels"],
        MISTAKE,
    ),
    ("match", "", ["TASK", "FUNCTION", "--label-mapping", "{car: null}"], MISTAKE),
    ("match", "CVAT away", ["TASK", "FUNCTION"], SERVER),
    ("annotate-new", "", ["FUNCTION", *WHERE], DONE),
    ("annotate-new", "", ["FUNCTION", "--task-name", "bad task"], FAILED),
    ("annotate-new", "", [], MISTAKE),
    ("annotate-new", "CVAT away", ["FUNCTION", *WHERE], SERVER),
    ("annotate-new", "Prefect away", ["FUNCTION", *WHERE], SERVER),
    ("retry", "Prefect", ["no such run"], MISTAKE),
    ("annotate", "Prefect", ["TASK", "FUNCTION"], DONE),
    ("annotate", "Prefect", ["TASK", "FUNCTION", "-p", "fail=str:img_0001.jpg"], FAILED),
    ("annotate-new", "Prefect", ["FUNCTION", "--task-name", "bad task"], FAILED),
    ("retry", "Prefect away", [], SERVER),
    ("undo", "", ["TASK"], MISTAKE),
    ("undo", "CVAT away", ["TASK"], SERVER),
    ("evaluate", "CVAT away", ["TASK", "FUNCTION"], SERVER),
    ("rank", "CVAT away", ["TASK", "FUNCTION"], SERVER),
    ("review", "CVAT away", ["TASK", "FUNCTION"], SERVER),
    ("adjust", "", ["TASK", "FUNCTION"], MISTAKE),
    ("compare", "", ["TASK", "FUNCTION"], MISTAKE),
    ("compare", "CVAT away", ["TASK", "FUNCTION", "--other-function", "shapes"], SERVER),
    ("functions", "", ["check", "NAME"], FAILED),
    ("functions", "", ["check"], MISTAKE),
    ("retry", "", [], MISTAKE),
    ("manifest", "", ["TASK"], DONE),
    ("manifest", "", ["x"], MISTAKE),
    ("cache", "", [], DONE),
    ("cache", "bad storage", [], MISTAKE),
    ("doctor", "", ["--only", "storage"], DONE),
    ("doctor", "CVAT away", ["--only", "cvat"], FAILED),
    ("doctor", "Prefect away", ["--only", "prefect"], FAILED),
    ("setup", "", ["--dry-run", "--file", "no-such-file.yaml"], MISTAKE),
    ("setup", "Prefect away", ["--dry-run"], SERVER),
    ("webhook", "", ["--secret-file", "no-such-file"], MISTAKE),
    ("worker", "", ["--gpus", "none", "--limit", "0"], MISTAKE),
    ("worker", "Prefect away", ["--gpus", "none"], SERVER),
    ("sandbox", "", ["--data", "DATA", "--port", "x"], MISTAKE),
    ("ui", "", ["--port", "x"], MISTAKE),
]


@pytest.fixture
def situation(
    request: pytest.FixtureRequest,
    sandbox: SandboxProcess,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    monkeypatch.setenv("CVAT_HOST", sandbox.url)
    monkeypatch.setenv("CVAT_USER", "admin")
    monkeypatch.setenv("CVAT_PASSWORD", "admin")
    monkeypatch.delenv("CVAT_FLOWS_RULES", raising=False)
    what = request.param
    if what == "CVAT away":
        monkeypatch.setenv("CVAT_HOST", AWAY)
    elif what == "wrong password":
        monkeypatch.setenv("CVAT_PASSWORD", "no")
    elif what == "no permission":
        monkeypatch.setenv("CVAT_USER", "worker")
        monkeypatch.setenv("CVAT_PASSWORD", "worker")
    elif what == "Prefect":  # Otherwise no server is configured.
        request.getfixturevalue("prefect_server")
    elif what == "bad storage":
        monkeypatch.setenv("CVAT_FLOWS_STORAGE", "neither a folder nor a block")
    if what != "Prefect away":
        yield
        return
    with temporary_settings({PREFECT_API_URL: f"{AWAY}/api"}):
        yield


@pytest.mark.parametrize(
    ("command", "situation", "arguments", "status"),
    CASES,
    indirect=["situation"],
    ids=[
        f"{command}-{what or 'fine'}-{status}-{n}"
        for n, (command, what, _, status) in enumerate(CASES)
    ],
)
def test_the_status_of_a_command(
    make_task: Callable[..., Any],
    function_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    situation: None,
    command: str,
    arguments: list[str],
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    failing = tmp_path / "failing.py"
    failing.write_text(function_file.read_text().replace("def detect(context, image):", FAIL, 1))
    task = make_task(2, name="bad task" if "bad task" in arguments else "task")
    function = failing if "bad task" in arguments else function_file
    words = {
        "TASK": [str(task.id)],
        "FUNCTION": ["--function-file", str(function)],
        "NAME": [str(function_file)],
        "PAGE": [str(tmp_path / "page.html")],
        "DATA": [str(tmp_path / "data")],
    }
    try:
        found = main([command, *(w for a in arguments for w in words.get(a, [a]))])
    except SystemExit as end:  # argparse
        found = int(str(end.code))
    output = capsys.readouterr()
    assert found == status, output.out + output.err
    assert "Traceback" not in output.err
    # A sweep reports a rule that cannot be used, and may find tasks by other rules.
    by_report = command in ("match", "sandbox") or "rule no such project: " in output.out
    if status in (MISTAKE, SERVER) and not by_report:
        # Lines about the phases of the start may come first.
        _, found_error, message = f"\n{output.err}".partition(f"\ncvat-flows {command}: ")
        assert found_error
        assert len(message.strip().splitlines()) <= 3  # A mismatch has a line for each label.


FAIL = """def detect(context, image):
        raise ValueError("never")"""


def test_every_command_has_cases() -> None:
    commands = {entry.name for entry in entry_points(group="cvat_flows.commands")}
    assert {command for command, *_ in CASES} == commands


def test_help_and_reference_list_the_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["annotate", "--help"], ["cache", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        text = " ".join(capsys.readouterr().out.split())
        assert all(f"{status}: {meaning}" in text for status, meaning in MEANINGS.items())


def test_a_server_in_prefect_api_url_that_is_away(
    function_file: Path, storage_folder: Path, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    """In a process of its own: Prefect must not have found another server before."""
    command = ["annotate", "1", "--function-file", str(function_file)]
    done = subprocess.run(
        [sys.executable, "-m", "cvat_flows.flows.cli", *command],
        env={
            "PATH": "/usr/bin:/bin",
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_API_URL": f"{AWAY}/api",
            "CVAT_HOST": sandbox.url,
            "CVAT_USER": "admin",
            "CVAT_PASSWORD": "admin",
            "CVAT_FLOWS_STORAGE": str(storage_folder),
        },
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == SERVER, done.stderr
    assert done.stderr.splitlines() == [
        f"cvat-flows annotate: the Prefect server {AWAY}/api does not answer (ConnectError): check "
        "PREFECT_API_URL and that the server is running, or unset it to run without a server"
    ]
