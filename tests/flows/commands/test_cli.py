"""The command line: what it prints, and its exit status."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import Client, models
from pydantic import SecretStr

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.cli import main
from cvat_flows.flows.commands.arguments.server_options import (
    add_server_arguments,
    use_server_arguments,
)
from cvat_flows.flows.commands.arguments.task_arguments import add_task_arguments, task_values
from cvat_flows.flows.commands.base.listing import describe, find_command, find_commands
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.tasks.cvat.client import connection
from cvat_flows.tasks.cvat.client.server import ServerSettings, ServerSettingsError
from cvat_flows.tasks.cvat.client.server_block import CVATServer
from cvat_flows.tasks.cvat.client.settings import find_settings, settings_without_block
from tests.flows.conftest import frames_of


def test_annotate_prints_the_result(make_task: Callable[..., Any], cli: Any) -> None:
    task = make_task(3)
    status, out, err = cli("annotate", task.id)
    assert status == 0
    assert "loading one_box ..." in err
    assert "3 of 3 frames annotated" in out
    assert "3 created" in out
    assert f"/tasks/{task.id}" in out
    assert frames_of(task) == [0, 1, 2]


def test_failed_frames_are_listed_with_status_1(make_task: Callable[..., Any], cli: Any) -> None:
    task = make_task(10)
    status, out, _ = cli("annotate", task.id, "-p", "fail=str:img_0007.jpg")
    assert status == 1
    assert "9 of 10 frames annotated, 1 failed" in out
    assert "cannot process img_0007.jpg" in out


def test_options_reach_the_flow(make_task: Callable[..., Any], cli: Any) -> None:
    task = make_task(4)
    status, out, _ = cli(
        "annotate", task.id, "--frames", "1-2", "--dry-run", "--label-thresholds", "{car: 0.4}"
    )
    assert status == 0
    assert "2 of 2 frames would be annotated" in out
    assert frames_of(task) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--frames", "2-99"], "has the frames 0 to 3"),
        (["--frames", "x"], "cannot read 'x'"),
        (["--jobs", "987654"], "987654"),
        (["--conf-threshold", "1.5"], "--conf-threshold 1.5"),
        (["--max-failed-frames", "-1"], "--max-failed-frames -1"),
        (["-p", "label=str:cat"], "label 'cat' is not in the task"),
        (["-p", "nonsense=int:1"], "nonsense"),
        (["--label-thresholds", "{cat: 0.5}"], "no label 'cat'"),
        (["--label-thresholds", "0.5"], "is neither a file nor a mapping"),
        (["--label-mapping", "{cart: car}"], "cart"),
        (["--label-mapping", "{car: car, car: null}"], "'car' is given twice, again on line 1"),
        (["--clear-existing", "--existing", "replace"], "choose one"),
        (["--server", "no-such-block"], "no-such-block"),
        (["--auth", "admin:admin"], "--auth is not enough: give --server-host and --auth together"),
        (["--server-port", "8080"], "--server-port is not enough: give --server-host and --auth"),
        (
            ["--profile", "mine", "--server-port", "8080"],
            "--profile selects the server: remove",
        ),
        (["--profile", "mine", "--auth", "a:b"], "remove --auth"),
        (
            ["--server", "main", "--profile", "mine"],
            "block 'main' selects the server",
        ),
        (["--organization", "nowhere"], "has no organization 'nowhere'"),
    ],
)
def test_usage_errors_name_the_flag_and_have_status_2(
    make_task: Callable[..., Any], cli: Any, arguments: list[str], expected: str
) -> None:
    task = make_task(4)
    status, _, err = cli("annotate", task.id, *arguments)
    assert status == 2
    assert expected in err
    assert "Traceback" not in err
    assert "\ncvat-flows annotate: " in f"\n{err}"
    assert frames_of(task) == []


def test_a_mapping_can_be_longer_than_a_file_name(tmp_path: Path) -> None:
    excluded = {"task_id", "function", "function_parameters"}

    def given(text: str) -> object:
        parser = argparse.ArgumentParser()
        add_task_arguments(parser, exclude=excluded)
        words = ["5", "--function-module", "mine", "--label-thresholds", text]
        return task_values(parser.parse_args(words), exclude=excluded)["label_thresholds"]

    scores = {f"label {n}": n / 1000 for n in range(1000)}
    assert given(json.dumps(scores)) == scores
    file = tmp_path / "scores.yaml"
    file.write_text(json.dumps(scores))
    assert given(str(file)) == scores
    file.write_bytes(b"\xff\xd8")
    with pytest.raises(UsageError, match=r"--label-thresholds .* cannot be read"):
        given(str(file))


def test_a_limit_can_be_combined_with_the_rules_of_the_environment(
    make_task: Callable[..., Any], cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(2)
    (tmp_path / "rules.yaml").write_text("[{projects: [nowhere], function: aa_functions.shapes}]")
    monkeypatch.setenv("CVAT_FLOWS_RULES", str(tmp_path / "rules.yaml"))
    status, out, _ = cli("annotate-new", "--limit", 1, "--dry-run", function=False)
    assert (status, "no CVAT task fits the rules" in out) == (0, True)


def test_a_task_that_cannot_be_annotated(client: Client, cli: Any, tmp_path: Path) -> None:
    status, _, err = cli("annotate", 999_999)
    assert (status, "task 999999 does not exist" in err) == (2, True)

    spec = models.TaskWriteRequest(name="empty", labels=[models.PatchedLabelRequest(name="car")])
    empty = client.tasks.create(spec)
    status, _, err = cli("annotate", empty.id)
    assert (status, "has no data yet" in err) == (2, True)

    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(Exception, match="cannot identify"):
        empty.upload_data([broken])
    status, _, err = cli("annotate", empty.id)
    assert (status, "could not import its data" in err) == (2, True)
    empty.remove()


def test_wrong_credentials_and_no_rights(
    make_task: Callable[..., Any],
    cli: Any,
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = make_task(1)
    monkeypatch.setenv("CVAT_PASSWORD", "wrong-secret")
    status, _, err = cli("annotate", task.id)
    assert (status, "does not accept the credentials of admin" in err) == (3, True)
    assert "wrong-secret" not in err

    monkeypatch.setenv("CVAT_USER", "worker")
    monkeypatch.setenv("CVAT_PASSWORD", "worker")
    status, _, err = cli("annotate", task.id)
    assert (status, "no permission" in err) == (3, True)

    monkeypatch.setenv("CVAT_HOST", "http://127.0.0.1:9")
    status, _, err = cli("annotate", task.id)
    assert (status, "cannot be reached" in err) == (3, True)
    assert frames_of(task) == []


def test_credentials_from_options(
    make_task: Callable[..., Any],
    cli: Any,
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = make_task(2)
    monkeypatch.delenv("CVAT_HOST")
    status, _, _ = cli("annotate", task.id, "--server-host", sandbox.url, "--auth", "admin:admin")
    assert status == 0
    assert frames_of(task) == [0, 1]


def test_options_override_all_settings(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = CVATServer(host="https://cvat.example", access_token=SecretStr("t"), organization="a")
    block.save("named", overwrite=True, _sync=True)  # type: ignore[call-arg]
    monkeypatch.setenv("CVAT_HOST", "https://other.example")
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "t")
    parser = argparse.ArgumentParser()
    add_server_arguments(parser)
    found = []
    for given in ([], ["--organization", "b", "--insecure"], ["--org", ""]):
        use_server_arguments(parser.parse_args(given))
        found += [find_settings(), find_settings("named"), settings_without_block()]
    use_server_arguments(parser.parse_args([]))
    assert [(one.host[8:13], one.organization, one.verify_ssl) for one in found if one] == [
        ("other", None, True),
        ("cvat.", "a", True),
        ("other", None, True),
        ("other", "b", False),
        ("cvat.", "b", False),
        ("other", "b", False),
        ("other", "", True),
        ("cvat.", "", True),
        ("other", "", True),
    ]


def test_a_default_block_without_credentials_is_an_error(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CVAT_HOST", raising=False)
    block = CVATServer(host="https://nightly.example")
    block.save("default", overwrite=True, _sync=True)  # type: ignore[call-arg]
    try:
        with pytest.raises(ServerSettingsError, match=r"nightly\.example"):
            find_settings()
    finally:
        CVATServer.delete("default", _sync=True)  # type: ignore[call-arg]


def test_options_without_effect_on_workers_are_refused(cli: Any) -> None:
    status, _, err = cli(
        *("annotate-new", "--projects", "cars", "--run-in", "deployment"),
        *("--server-host", "https://cvat.example", "--auth", "a:b"),
    )
    assert (status, "--server-host does not work with --run-in deployment" in err) == (2, True)


def test_match_prints_matches_and_mismatches(make_task: Callable[..., Any], cli: Any) -> None:
    task = make_task(1, labels=["car", "truck"])
    status, out, _ = cli("match", task.id)
    assert status == 0
    assert "the function fits the task" in out
    status, out, _ = cli("match", task.id, "-p", "label=str:trucks")
    assert status == 2
    assert "label 'trucks' is not in the task (nearest: truck)" in out


def test_a_process_logs_in_once(sandbox: SandboxProcess) -> None:
    settings = ServerSettings(host=sandbox.url, username="admin", password="admin")
    sandbox.reset_request_counts()
    first = connection.connect(settings)
    assert connection.connect(settings) is first
    logins = [n for address, n in sandbox.request_counts().items() if "/auth/login" in address]
    assert sum(logins) <= 1


def test_help_lists_every_command_and_imports_none() -> None:
    script = (
        "import sys\nfrom cvat_flows.flows.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'prefect', 'cvat_sdk', 'pydantic', 'numpy', 'rich', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, entry in find_commands().items():
        assert f"\n    {name}" in done.stdout
        assert describe(entry)
    assert "Delete annotations that this project uploaded" in done.stdout


def test_annotating_one_task_imports_only_what_every_run_needs() -> None:
    script = (
        "import sys\nimport cvat_flows.flows.commands.annotate\n"
        "heavy = {'numpy', 'pandas', 'prefect', 'yaml', 'cvat_flows.flows.sweep.rules'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_command_is_found_alone_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = find_commands()
    assert all(find_command(name) == entry for name, entry in commands.items())
    assert find_command("annotat") is None
    metadata = tmp_path / "their_commands-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-commands\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[cvat_flows.commands]\ntheirs = theirs:COMMAND\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    theirs = find_command("theirs")
    assert theirs is not None
    assert theirs.value == "theirs:COMMAND"


@pytest.mark.parametrize("name", ["sandbox", "webhook"])
def test_the_help_of_a_command_that_serves_imports_no_server(name: str) -> None:
    script = (
        "import sys\nfrom cvat_flows.flows.cli import main\n"
        f"try:\n    main(['{name}', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'prefect', 'cvat_sdk', 'starlette', 'uvicorn', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--port" in done.stdout


def test_no_command_prints_help_and_a_version_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "annotate-new" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"cvat-flows \d+\.\d+\.\d+\n", capsys.readouterr().out)
