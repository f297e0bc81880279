"""Storage through a Prefect block: errors, other machines, conditional writes."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cvat_flows.tasks.storage import BlockStorage, StorageError, open_storage


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


def test_errors_of_a_filesystem_do_not_leak_secrets() -> None:
    block = SimpleNamespace(basepath="shared", filesystem=Denied())
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


class Meeting:
    """A filesystem that answers only when four threads use it at the same time."""

    dircache = SimpleNamespace()

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.meet = threading.Barrier(4)

    def rm_file(self, path: str) -> None: ...

    def pipe_file(self, path: str, content: bytes) -> None:
        self.meet.wait(timeout=120)
        self.files[path] = content

    def cat_file(self, path: str) -> bytes:
        self.meet.wait(timeout=120)
        return self.files[path]


def test_many_files_are_read_and_written_at_the_same_time() -> None:
    storage = BlockStorage(SimpleNamespace(basepath="memory://b", filesystem=Meeting()), "b")
    storage.write_many([([f"{n}"], b"%d" % n) for n in range(4)])
    assert storage.read_many([f"{n}" for n in range(4)]) == {f"{n}": b"%d" % n for n in range(4)}


def test_writes_of_other_machines_are_visible_immediately(s3: str) -> None:
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


def test_conditional_writes_are_tested_before_use(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{s3}/{tmp_path.name}"
    storage = open_storage(url)
    assert storage.create("other", b"")
    storage.delete("other")
    assert list(open_storage(url)._filesystem.find(url)) == []  # type: ignore[attr-defined]
    careless = open_storage(url)
    filesystem = careless._filesystem  # type: ignore[attr-defined]
    put = filesystem.pipe_file
    with monkeypatch.context() as patch:
        patch.setattr(filesystem, "pipe_file", lambda path, content, mode="": put(path, content))
        with pytest.raises(StorageError, match="two runs could write to the same CVAT task"):
            careless.create("lease", b"first")
        assert careless.read("lease") is None


def test_create_succeeds_if_an_earlier_attempt_did(s3: str, tmp_path: Path) -> None:
    storage = open_storage(f"{s3}/{tmp_path.name}")
    storage.write("lease", b"our token")
    assert storage.create("lease", b"our token")
    assert not storage.create("lease", b"another's")


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict"])
def test_create_fails_if_another_is_creating(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    storage = open_storage(f"{s3}/{tmp_path.name}")
    assert storage.create("other", b"")
    answer = RuntimeError(code)
    answer.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(5, code) from answer

    monkeypatch.setattr(storage._filesystem, "pipe_file", refuse)  # type: ignore[attr-defined]
    assert not storage.create("lease", b"ours")
