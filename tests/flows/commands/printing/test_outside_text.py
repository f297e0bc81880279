"""Names from CVAT and credentials in what the commands print and store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.tasks.cvat.client.server import ServerSettingsError
from cvat_flows.tasks.cvat.client.server_block import CVATServer
from cvat_flows.tasks.cvat.client.settings import find_settings

ESCAPE = "\x1b[2J\x1b]0;gotcha\x07"
BIDI = "\u202egpj"


def assert_no_controls(*texts: str) -> None:
    for text in texts:
        assert not set(text) & set("\x1b\x07\u202e\x9b"), ascii(text)


def test_names_do_not_reach_the_terminal_raw(
    make_task: Callable[..., Any], cli: Any, tmp_path: Path
) -> None:
    names = [f"a{BIDI}.png", f"b{ESCAPE}.png"]
    for name in names:
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    task = make_task(
        images=[tmp_path / name for name in names],
        labels=["car", f"bus{ESCAPE}{BIDI}"],
        name=f"street{ESCAPE}{BIDI}",
    )
    for command, options in (
        ("annotate", ["-p", f"fail=str:{names[1]}", "--max-failed-frames", "1"]),
        ("match", []),
        ("preview", ["--output", str(tmp_path / "page.html")]),
    ):
        status, out, err = cli(command, task.id, *options)
        assert status == (1 if command == "annotate" else 0), err
        assert_no_controls(out, err)
        assert "street" in out
    for command in ("manifest", "undo"):
        _, out, err = cli(command, task.id, function=False)
        assert_no_controls(out, err)
    _, out, err = cli("annotate-new", "--dry-run", "--again-when", "failed")
    assert_no_controls(out, err)


def test_credentials_in_the_address_are_refused(
    cli: Any, sandbox: SandboxProcess, storage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = sandbox.url.replace("://", "://somebody:pa55word@")
    options = ("--server-host", address, "--auth", "admin:admin")
    results = [cli("annotate", 1, *options), cli("undo", 1, "--yes", *options, function=False)]
    monkeypatch.setenv("CVAT_HOST", address)
    results += [cli("annotate", 1), cli("manifest", 1, function=False), cli("match", 1)]
    for status, out, err in results:
        assert status == 2
        assert "the address of the CVAT server contains a user name or a password" in err
        assert "somebody" not in out + err
        assert "pa55word" not in out + err
    assert not storage_folder.exists()


def test_a_block_with_credentials_in_its_address_is_refused(prefect_server: None) -> None:
    block = CVATServer(host="https://u:pa55word@cvat.example", username="a", password="b")
    block.save("with-user", overwrite=True, _sync=True)  # type: ignore[call-arg]
    with pytest.raises(ServerSettingsError, match="or the block's host") as caught:
        find_settings("with-user")
    assert "pa55word" not in str(caught.value)


def test_an_error_of_the_function_is_masked_everywhere(
    make_task: Callable[..., Any],
    cli: Any,
    tmp_path: Path,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error can show the environment of a request that the function made."""
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:correct-horse-battery")
    file = tmp_path / "leaky.py"
    file.write_text(
        "import os\n"
        "from aa_functions import DetectionFunctionSpec, label_spec\n"
        "spec = DetectionFunctionSpec(labels=[label_spec('car', 0)])\n"
        "def detect(context, image):\n"
        "    raise ValueError('refused ' + os.environ['PREFECT_API_AUTH_STRING'] + '\\x1b[2J')\n"
    )
    task = make_task(1)
    status, out, err = cli("annotate", task.id, "--function-file", str(file), function=False)
    assert status == 1
    assert "refused ***" in out
    assert_no_controls(out, err)
    assert "correct-horse" not in out + err
    stored = [path.read_bytes() for path in storage_folder.rglob("*") if path.is_file()]
    assert any(b"refused ***" in content for content in stored)
    assert not any(b"correct-horse" in content for content in stored)
