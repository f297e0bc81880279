from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from cvat_flows.tasks.detect.call_notes import CallNotes
from cvat_flows.tasks.storage import FolderStorage, StorageError
from tests.tasks.fetch.media_factory import make_media


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path)


def notes_in(storage: Any, function: str = "f", **options: Any) -> CallNotes:
    return CallNotes(storage, make_media(), function, **options)


def suspected_in(storage: Any, *function: str, **options: Any) -> tuple[Any, Any, Any]:
    notes = notes_in(storage, *function, **options)
    return notes.once, notes.twice, notes.deadly


def die(storage: Any, frames: list[int], *, alone: bool = False) -> None:
    """Leave the note of a process that ended while the function had these frames."""
    notes = notes_in(storage)
    assert notes.is_alone(frames) == alone
    before = {file.path for file in storage.list("calls")}
    with notes.calling_alone(frames[0]) if alone else notes.calling(frames):
        (path,) = {file.path for file in storage.list("calls")} - before
        note = storage.read(path)
    notes.close()
    storage.write(path, note)


def test_a_process_that_died_leaves_suspects(storage: FolderStorage) -> None:
    die(storage, [3, 4])
    die(storage, [7, 8])
    assert suspected_in(storage) == ({3, 4, 7, 8}, set(), set())
    assert suspected_in(storage, "other version") == (set(), set(), set())
    assert suspected_in(storage, trusting=True) == (set(), set(), set())


def test_a_second_death_makes_frames_come_one_by_one(storage: FolderStorage) -> None:
    die(storage, [3, 4, 5])
    die(storage, [7, 3, 4])
    assert suspected_in(storage) == ({5, 7}, {3, 4}, set())


def test_a_frame_that_ends_the_process_alone_is_not_called_again(storage: FolderStorage) -> None:
    die(storage, [3, 4])
    die(storage, [3, 4])
    die(storage, [4], alone=True)
    assert suspected_in(storage) == (set(), {3}, {4})
    assert suspected_in(storage, forgive=True) == (set(), {3, 4}, set())


def test_a_run_resolves_what_it_has_processed(storage: FolderStorage) -> None:
    die(storage, [3, 4, 8, 9])
    die(storage, [4, 8])
    die(storage, [4], alone=True)
    notes = notes_in(storage)
    notes.resolve(iter([3, 4]))
    notes.close()
    found = notes_in(storage)
    assert (found.once, found.twice, found.deadly) == ({9}, {8}, {4})
    found.resolve([8, 9])
    assert suspected_in(storage) == (set(), set(), {4})


def test_what_is_with_the_function_in_several_threads(storage: FolderStorage) -> None:
    notes = notes_in(storage)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with notes.calling([5, 6]):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with notes.calling([1, 2]):
        thread.start()
        assert inside.wait(60)
        assert notes_in(storage).once == {1, 2, 5, 6}
    leave.set()
    thread.join()
    with notes.calling([8]):
        assert notes_in(storage).once == {8}
    notes.close()
    assert notes_in(storage).once == set()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"with_function": 3}', b"\xff"])
def test_a_damaged_note_tells_nothing(storage: FolderStorage, content: bytes) -> None:
    die(storage, [3])
    (file,) = storage.list("calls")
    storage.write(file.path, content)
    assert notes_in(storage).once == set()


def test_storage_that_fails_does_not_fail_a_run() -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            def fail(*args: Any, **options: Any) -> Any:
                raise StorageError("the disk has failed")

            return fail

    notes = notes_in(Broken())
    with notes.calling([1]), notes.calling_alone(1):
        pass
    notes.resolve([1])
    notes.close()
