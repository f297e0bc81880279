"""Storage in a folder: crashes, simultaneous creators, errors."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from cvat_flows.tasks.storage import FolderStorage, StorageError


def test_exactly_one_of_many_creators_succeeds(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    barrier = threading.Barrier(8)
    won: list[int] = []

    def create(n: int) -> None:
        barrier.wait()
        if storage.create("lease", b"%d" % n):
            won.append(n)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read("lease") == b"%d" % won[0]


def test_a_crash_before_the_rename_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FolderStorage(tmp_path)
    storage.write("file", b"old")

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            storage.write("file", b"new")
    assert storage.read("file") == b"old"
    left = [path for path in tmp_path.iterdir() if path.name != "file"]
    assert len(left) == 1
    assert [stored.path for stored in storage.list("")] == ["file"]
    assert left[0].exists()  # its writer may still be at work
    os.utime(left[0], (0, 0))
    list(storage.list(""))
    assert not left[0].exists()


def test_a_folder_without_hard_links_holds_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*names: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageError, match="has no hard links"):
        FolderStorage(tmp_path).create("lease", b"first")


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="CVAT_FLOWS_STORAGE"):
        FolderStorage(tmp_path / "file").write("a", b"")
