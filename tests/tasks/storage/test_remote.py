"""Storage through a Prefect block: errors, other machines, conditional writes."""

from __future__ import annotations

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
    assert storage.creates_atomically
    answer = RuntimeError(code)
    answer.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(5, code) from answer

    monkeypatch.setattr(storage._filesystem, "pipe_file", refuse)  # type: ignore[attr-defined]
    assert not storage.create("lease", b"ours")
