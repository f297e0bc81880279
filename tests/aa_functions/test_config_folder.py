"""The folder for Ultralytics' settings, whose name others can guess."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aa_functions.backends import ultralytics_import
from aa_functions.errors import UnsafeFolderError


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_only_the_user_can_write_there() -> None:
    folder = Path(ultralytics_import._config_folder())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    assert ultralytics_import._config_folder() == str(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"cvat-flows-ultralytics-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFolderError, match="remove it, or set YOLO_CONFIG_DIR"):
        ultralytics_import._config_folder()


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"cvat-flows-ultralytics-{os.getuid()}").touch()
    with pytest.raises(UnsafeFolderError):
        ultralytics_import._config_folder()


def test_a_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(ultralytics_import._config_folder())
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    monkeypatch.setattr(ultralytics_import, "_user", lambda: str(owner))
    with pytest.raises(UnsafeFolderError, match=f"{folder.name}.* is not a folder of this user"):
        ultralytics_import._config_folder()
