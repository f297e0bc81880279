"""The file with the webhook's secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvat_flows.deployments.webhook.secret import read_secret
from cvat_flows.flows.commands.base.usage_error import UsageError
from cvat_flows.tasks.model.credentials import mask

SECRET = "0123456789abcdef-webhook"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_secret_that_everybody_can_read_is_warned_about(
    file: Path, mode: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    file.chmod(mode)
    assert read_secret(file) == SECRET
    assert (f"run chmod 600 {file}" in caplog.text) == warned


@pytest.mark.parametrize("mode", [0o660, 0o602, 0o666])
def test_a_secret_that_others_can_replace_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(UsageError, match="other users can write to it"):
        read_secret(file)


def test_a_secret_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe" * 20)
    file.chmod(0o600)
    with pytest.raises(UsageError, match="is not text"):
        read_secret(file)


def test_the_secret_is_masked_in_texts(file: Path) -> None:
    file.chmod(0o600)
    read_secret(file)
    assert mask(f"signed with {SECRET}") == "signed with ***"
