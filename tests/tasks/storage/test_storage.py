"""All kinds of storage behave alike, and storage is opened by its name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cvat_flows.tasks.storage
from cvat_flows.tasks.storage import FolderStorage, Storage, StorageError, open_storage


@pytest.fixture(params=["folder", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "folder":
        yield open_storage(str(tmp_path / "state"))
        return
    bucket = "memory://bucket" if request.param == "memory" else request.getfixturevalue("s3")
    storage = open_storage(f"{bucket}/{tmp_path.name}")
    yield storage
    for stored in list(storage.list("")):
        storage.delete(stored.path)


def test_write_read_list_delete(storage: Storage) -> None:
    assert storage.read("a/b.json") is None
    storage.write("a/b.json", b"one")
    storage.write("a/b.json", b"three")
    storage.write("c", b"")
    assert storage.read("a/b.json") == b"three"
    listed = {stored.path: stored for stored in storage.list("")}
    assert {path: stored.size for path, stored in listed.items()} == {"a/b.json": 5, "c": 0}
    assert abs(listed["a/b.json"].modified.timestamp() - time.time()) < 60
    assert [stored.path for stored in storage.list("a")] == ["a/b.json"]
    assert list(storage.list("nothing")) == []
    storage.delete("a/b.json")
    storage.delete("a/b.json")
    assert storage.read("a/b.json") is None
    assert storage.read("a") is None


def test_many_files_are_written_and_read(storage: Storage) -> None:
    storage.write("a/1", b"old")
    storage.write_many([(["a/1", "b/2"], b"shared"), (["c"], b"alone")])
    assert storage.read_many(["a/1", "b/2", "c", "none"]) == {
        "a/1": b"shared",
        "b/2": b"shared",
        "c": b"alone",
    }
    storage.write("b/2", b"new")
    assert storage.read("a/1") == b"shared"
    assert storage.read_many([]) == {}
    storage.write_many([])


def test_create_does_not_overwrite(storage: Storage) -> None:
    assert storage.create("lease", b"first")
    assert not storage.create("lease", b"second")
    assert storage.read("lease") == b"first"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a//b", "a/./b", "a\\b", "a\0b"])
def test_paths_outside_the_storage_are_rejected(storage: Storage, path: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        storage.write(path, b"")


def test_the_default_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_FLOWS_STORAGE", str(tmp_path / "here"))
    assert str(open_storage()) == str(FolderStorage(tmp_path / "here"))
    monkeypatch.delenv("CVAT_FLOWS_STORAGE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(open_storage()) == str(FolderStorage(tmp_path / ".cvat-flows"))


def test_a_bare_word_is_rejected_with_advice() -> None:
    with pytest.raises(StorageError, match=r"\./state"):
        open_storage("state")


class OnlyReadsAndWrites:
    """A block like those of some integrations."""

    basepath = "shared"


def test_a_block_that_cannot_list_is_rejected_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cvat_flows.tasks.storage, "_load_block", lambda name: OnlyReadsAndWrites())
    with pytest.raises(StorageError, match="OnlyReadsAndWrites cannot list and delete"):
        open_storage("s3-bucket/shared")


def test_a_url_without_its_library() -> None:
    with pytest.raises(StorageError, match=r"cannot be opened \(\w+\): check that its library"):
        open_storage("abfs://container/folder")


def test_blocks_are_opened_by_name(prefect_server: None, tmp_path: Path) -> None:
    from prefect.filesystems import LocalFileSystem, RemoteFileSystem

    RemoteFileSystem(basepath="memory://bucket/by-name").save("shared")
    LocalFileSystem(basepath=str(tmp_path)).save("here")
    storage = open_storage("remote-file-system/shared")
    storage.write("a", b"1")
    assert storage.read("a") == b"1"
    storage.delete("a")
    assert str(open_storage("local-file-system/here")) == str(FolderStorage(tmp_path))
    with pytest.raises(StorageError, match="no Prefect block 'remote-file-system/none'"):
        open_storage("remote-file-system/none")
