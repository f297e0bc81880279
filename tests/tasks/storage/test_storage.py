"""Folders and Prefect blocks behave alike; a crash leaves the old file or the new one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cvat_flows.tasks.storage
from cvat_flows.tasks.storage import (
    BlockStorage,
    FolderStorage,
    Storage,
    StorageError,
    open_storage,
)


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


def test_create_leaves_what_is_there(storage: Storage) -> None:
    assert storage.create("lease", b"first")
    assert not storage.create("lease", b"second")
    assert storage.read("lease") == b"first"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a//b", "a/./b", "a\\b", "a\0b"])
def test_paths_stay_inside(storage: Storage, path: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        storage.write(path, b"")


def test_of_many_creators_one_succeeds(tmp_path: Path) -> None:
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


def test_a_crash_before_the_rename_leaves_the_old_file(
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
    assert left[0].exists()  # it may be somebody's who is just writing
    os.utime(left[0], (0, 0))
    list(storage.list(""))
    assert not left[0].exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="CVAT_FLOWS_STORAGE"):
        FolderStorage(tmp_path / "file").write("a", b"")


def test_the_default_is_the_environments_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_FLOWS_STORAGE", str(tmp_path / "here"))
    assert repr(open_storage()) == repr(FolderStorage(tmp_path / "here"))
    monkeypatch.delenv("CVAT_FLOWS_STORAGE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert repr(open_storage()) == repr(FolderStorage(tmp_path / ".cvat-flows"))


def test_a_bare_word_is_explained() -> None:
    with pytest.raises(StorageError, match=r"\./state"):
        open_storage("state")


class OnlyReadsAndWrites:
    """A block like those of some integrations."""

    basepath = "shared"


class Denied:
    """A filesystem that refuses everything."""

    dircache = SimpleNamespace()

    def __getattr__(self, name: str) -> Any:
        if name == "filesystem":
            raise AttributeError(name)

        def refuse(path: str, *arguments: Any, **options: Any) -> Any:
            error = RuntimeError("signed?token=secret")
            code = "NoSuchKey" if path == "shared/missing" else "Denied"
            error.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
            raise error

        return refuse

    def invalidate_cache(self) -> None: ...

    def _strip_protocol(self, path: str) -> str:
        return path


def test_what_a_storage_refuses_is_said_without_its_secrets() -> None:
    block = OnlyReadsAndWrites()
    block.filesystem = Denied()  # type: ignore[attr-defined]
    storage = BlockStorage(block, "remote-file-system/shared")
    assert storage.read("missing") is None
    for call in (
        lambda: storage.read("there"),
        lambda: storage.write("there", b""),
        lambda: storage.delete("there"),
        lambda: list(storage.list("there")),
    ):
        with pytest.raises(StorageError, match="remote-file-system/shared") as caught:
            call()
        assert "secret" not in str(caught.value)


def test_a_block_that_cannot_list_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cvat_flows.tasks.storage, "_load_block", lambda name: OnlyReadsAndWrites())
    with pytest.raises(StorageError, match="OnlyReadsAndWrites cannot list and delete"):
        open_storage("s3-bucket/shared")


def test_a_url_that_nothing_is_installed_for() -> None:
    with pytest.raises(StorageError, match=r"cannot be opened \(\w+\): check that its library"):
        open_storage("abfs://container/folder")


def test_what_another_machine_has_written_is_seen_at_once(s3: str) -> None:
    import s3fs

    elsewhere = s3fs.S3FileSystem(skip_instance_cache=True)
    storage = open_storage(f"{s3}/shared")
    storage.write("leases/1.json", b"short")
    assert [stored.size for stored in storage.list("leases")] == [5]
    assert storage.read("leases/2.json") is None
    elsewhere.pipe_file(f"{s3}/shared/leases/1.json", b"longer than before")
    elsewhere.pipe_file(f"{s3}/shared/leases/2.json", b"new")
    assert storage.read("leases/1.json") == b"longer than before"
    assert storage.read("leases/2.json") == b"new"
    elsewhere.rm_file(f"{s3}/shared/leases/1.json")
    assert storage.read("leases/1.json") is None
    assert [stored.path for stored in storage.list("")] == ["leases/2.json"]


def test_s3_is_asked_whether_it_creates_what_is_not_there_alone(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{s3}/{tmp_path.name}"
    storage = open_storage(url)
    assert storage.creates_atomically
    assert list(open_storage(url)._filesystem.find(url)) == []  # type: ignore[attr-defined]
    careless = open_storage(url)
    filesystem = careless._filesystem  # type: ignore[attr-defined]
    put = filesystem.pipe_file
    with monkeypatch.context() as patch:
        patch.setattr(filesystem, "pipe_file", lambda path, content, mode="": put(path, content))
        assert not careless.creates_atomically
        assert careless.create("lease", b"first")
        assert not careless.create("lease", b"second")


def test_an_object_that_was_made_though_the_answer_was_lost_is_ours(
    s3: str, tmp_path: Path
) -> None:
    storage = open_storage(f"{s3}/{tmp_path.name}")
    storage.write("lease", b"our token")
    assert storage.create("lease", b"our token")
    assert not storage.create("lease", b"another's")


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict"])
def test_an_object_that_another_is_just_making_is_not_ours(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    storage = open_storage(f"{s3}/{tmp_path.name}")
    assert storage.creates_atomically
    answer = RuntimeError(code)
    answer.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(5, code) from answer

    monkeypatch.setattr(storage._filesystem, "pipe_file", refuse)  # type: ignore[attr-defined]
    assert not storage.create("lease", b"ours")


def test_blocks_by_name(prefect_server: None, tmp_path: Path) -> None:
    from prefect.filesystems import LocalFileSystem, RemoteFileSystem

    RemoteFileSystem(basepath="memory://bucket/by-name").save("shared")
    LocalFileSystem(basepath=str(tmp_path)).save("here")
    storage = open_storage("remote-file-system/shared")
    storage.write("a", b"1")
    assert storage.read("a") == b"1"
    storage.delete("a")
    assert repr(open_storage("local-file-system/here")) == repr(FolderStorage(tmp_path))
    with pytest.raises(StorageError, match="no Prefect block 'remote-file-system/none'"):
        open_storage("remote-file-system/none")
