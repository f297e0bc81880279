"""Storage in a folder: crashes, simultaneous creators, errors."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
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


# -- who can read it ---------------------------------------------------------------------------


@pytest.fixture(params=[0o022, 0o002, 0o077])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    old = os.umask(request.param)
    yield
    os.umask(old)


def fill(root: Path) -> tuple[set[int], set[int]]:
    """Write files in each way; return the modes of the folders and of the files."""
    storage = FolderStorage(root)
    storage.write("a/b/c", b"1")
    storage.write("a/d", b"2", durable=False)
    storage.create("leases/e", b"3")
    storage.write_many([(["f/g", "h/i"], b"4"), (["j"], b"5")])
    inside = list(root.rglob("*"))
    assert len([path for path in inside if path.is_file()]) == 6
    return (
        {stat.S_IMODE(path.stat().st_mode) for path in inside if path.is_dir()},
        {stat.S_IMODE(path.stat().st_mode) for path in inside if path.is_file()},
    )


@pytest.mark.usefixtures("_umask")
@pytest.mark.parametrize("mode", [None, 0o700, 0o755])
def test_only_the_owner_can_read_the_storage(tmp_path: Path, mode: int | None) -> None:
    root = tmp_path / "new" / "storage"
    if mode is not None:
        root.mkdir(parents=True)
        root.chmod(mode)
    assert fill(root) == ({0o700}, {0o600})
    assert stat.S_IMODE(root.stat().st_mode) == (mode or 0o700)


@pytest.mark.parametrize(
    ("mode", "umask", "folders", "files"),
    [
        (0o770, 0o002, 0o770, 0o660),
        (0o775, 0o002, 0o770, 0o660),
        (0o770, 0o027, 0o750, 0o640),
        (0o777, 0o000, 0o777, 0o666),
    ],
)
def test_a_folder_that_the_group_may_write_to_is_shared(
    tmp_path: Path, mode: int, umask: int, folders: int, files: int
) -> None:
    root = tmp_path / "shared"
    root.mkdir()
    root.chmod(mode)
    old = os.umask(umask)
    try:
        assert fill(root) == ({folders}, {files})
    finally:
        os.umask(old)
