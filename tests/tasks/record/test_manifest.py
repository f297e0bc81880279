"""The manifest keeps its records, knows what is done, and writes few files."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from cvat_flows.tasks.model.frames import Frame
from cvat_flows.tasks.record.manifest import (
    FRAMES_PER_FILE,
    Manifest,
    ManifestError,
    describe_namesakes,
    functions_of_task,
)
from cvat_flows.tasks.record.manifest_file import (
    FrameRecord,
    JobFile,
    RunStamp,
    dump_job_file,
    parse_job_file,
    unique_slug,
)
from cvat_flows.tasks.record.manifest_summary import read_summary, write_summary
from cvat_flows.tasks.record.ownership import ManifestItem
from cvat_flows.tasks.storage import FolderStorage, open_storage
from tests.support.identity import task_number

RUN = RunStamp(id="run-1", name="brave-otter", fingerprint="f1", parameters="p1")
SERVER = "http://cvat.example:8080"
TASK = task_number(5)
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)

words = st.text(max_size=12)
items = st.builds(
    ManifestItem,
    id=st.integers(0, 2**40),
    digest=st.text("0123456789abcdef", min_size=24, max_size=24),
    run=st.none() | st.sampled_from(["run-1", "run-2"]),
)


def record_of(failed: tuple[int, str], **facts: Any) -> FrameRecord:
    return FrameRecord(failures=failed[0], failure=failed[1], **facts)


records = st.builds(
    record_of,
    failed=st.just((0, "")) | st.tuples(st.integers(1, 9), words),
    state=st.sampled_from(["pending", "annotated", "failed", "undone"]),
    run=st.builds(RunStamp, **{one.name: words for one in fields(RunStamp)}),
    when=words,
    content_hash=st.none() | st.text("0123456789abcdef", min_size=1),
    error=words,
    items=st.lists(items, max_size=4).map(tuple),
    deleting=st.lists(items, max_size=2).map(tuple),
    pending=st.lists(words, max_size=3).map(tuple),
    request=words,
    until=st.none() | st.integers(0, 2**42).map(lambda milliseconds: milliseconds / 1000),
    doubtful=st.lists(words, max_size=3).map(tuple),
    groups=st.dictionaries(st.integers(1, 2**31), st.integers(1, 99), max_size=3).map(
        lambda numbers: tuple(numbers.items())
    ),
)


def manifest(storage: FolderStorage, run: RunStamp = RUN, function: str = "f") -> Manifest:
    return Manifest(storage, task=TASK, function=function, run=run, server=SERVER)


def frame(number: int, *jobs: int) -> Frame:
    return Frame(number=number, name="a", width=1, height=1, chunk=0, job_ids=jobs or (7,))


def annotated(run: RunStamp = RUN, *found: ManifestItem) -> FrameRecord:
    return FrameRecord(state="annotated", run=run, items=found)


@given(st.dictionaries(st.integers(0, 10**6), records, max_size=5))
def test_a_file_can_be_read_back(frames: dict[int, FrameRecord]) -> None:
    file = JobFile(task=TASK, server=SERVER, job_id=7, function="f", frames=frames)
    content = dump_job_file(file)
    assert parse_job_file(content) == file
    json.loads(content)


def test_a_file_has_a_line_for_each_frame() -> None:
    file = JobFile(
        task=TASK,
        server=SERVER,
        job_id=7,
        function="f",
        frames={n: annotated(RUN, ManifestItem(id=n, digest="d", run="run-1")) for n in range(3)},
    )
    lines = dump_job_file(file).decode().splitlines()
    assert ' "1": {"state":"annotated","run":0,"when":"","items":[[1,"d",0]]},' in lines


def test_records_survive_the_process(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    one = annotated(RUN, ManifestItem(id=1, digest="d", run="run-1"))
    manifest(storage).write(7, {3: one, FRAMES_PER_FILE + 1: one})
    again = manifest(storage)
    assert again.record(7, 3) == again.record(7, FRAMES_PER_FILE + 1) == one
    assert again.record(7, 4) is again.record(8, 3) is None
    assert [(job, number) for job, number, _ in again.records()] == [
        (7, 3),
        (7, FRAMES_PER_FILE + 1),
    ]


def test_an_update_writes_one_file(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    book = manifest(storage)
    book.write(7, {n: annotated() for n in range(3 * FRAMES_PER_FILE)})
    for stored in storage.list(""):  # with the current time, a slow clock would show no change
        os.utime(tmp_path / stored.path, (1e9, 1e9))
    before = {stored.path: stored.modified for stored in storage.list("")}
    assert len(before) == 3
    book.write(7, {FRAMES_PER_FILE: annotated()})
    after = {stored.path: stored.modified for stored in storage.list("")}
    assert sum(before[path] != after[path] for path in before) == 1


def test_a_frame_is_done_by_this_version_in_all_its_jobs(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    book = manifest(storage)
    book.write(7, {1: annotated(), 2: evolve(annotated(), state="pending"), 3: annotated()})
    book.write(8, {1: annotated(), 3: evolve(annotated(), state="failed")})
    assert book.is_done(frame(1))
    assert book.is_done(frame(1, 7, 8))
    assert not book.is_done(frame(2))
    assert not book.is_done(frame(3, 7, 8))
    assert not book.is_done(frame(4))
    for other in ({"fingerprint": "f2"}, {"parameters": "p2"}):
        assert not manifest(storage, evolve(RUN, **other)).is_done(frame(1))
    assert manifest(storage, evolve(RUN, id="run-2")).is_done(frame(1))
    assert not manifest(storage, function="g").is_done(frame(1))


def test_the_summary_counts_the_frames_of_a_task(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    book = manifest(storage)
    assert read_summary(storage, task=TASK, function="f") is None
    book.write(7, {0: annotated(), 1: annotated(), 2: evolve(annotated(), state="failed")})
    book.write(8, {1: annotated(), 2: annotated()})
    write_summary(book, frames=4, task_updated=NOW, skipped=1)
    summary = read_summary(storage, task=TASK, function="f")
    assert summary is not None
    assert summary.states == {"annotated": 2, "failed": 1}
    assert (summary.frames, summary.skipped, summary.done) == (4, 1, {"f1 p1": 2})
    book.write(7, {2: annotated()})
    done = write_summary(book, frames=4, task_updated=NOW, skipped=1)
    assert (done.frames, done.skipped, done.done) == (4, 1, {"f1 p1": 3})
    path = f"{book.folder}/summary.json"
    assert len(storage.read(path) or b"") < 1000
    storage.write(path, b"{")
    assert read_summary(storage, task=TASK, function="f") is None


def test_each_frame_counts_once_in_the_summary(tmp_path: Path) -> None:
    book = manifest(FolderStorage(tmp_path))
    failed = evolve(annotated(), state="failed")
    book.write(7, {0: annotated(), 1: annotated(), 2: annotated(), 3: failed, 4: failed})
    summary = write_summary(book, frames=8, task_updated=NOW, excluded={2, 6}, annotated={1, 3, 5})
    # Frame 2 was deleted after it was done. Frame 3 failed, and then a person annotated it.
    assert (summary.skipped, summary.done) == (4, {"f1 p1": 2})
    assert summary.states == {"annotated": 2, "failed": 1}


def test_a_frame_that_another_version_did_in_one_of_its_jobs_is_not_done(tmp_path: Path) -> None:
    book = manifest(FolderStorage(tmp_path))
    old = annotated(evolve(RUN, fingerprint="f0"))
    failed = evolve(annotated(), state="failed")
    book.write(7, {0: old, 1: annotated(), 2: old, 3: failed})
    book.write(8, {0: annotated(), 1: old, 2: failed, 3: old})
    summary = write_summary(book, frames=4, task_updated=NOW)
    assert summary.done == {"f0 p1": 2}
    assert summary.states == {"annotated": 2, "failed": 2}


def test_functions_of_a_task(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    for name in ("yolo v8", "yolo-v8", "b"):
        manifest(storage, function=name).write(7, {0: annotated()})
    assert functions_of_task(storage, TASK) == ["b", "yolo v8", "yolo-v8"]
    assert functions_of_task(storage, task_number(6)) == []


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    manifest(storage).write(7, {0: annotated()})
    (path,) = [stored.path for stored in storage.list("")]
    content = storage.read(path) or b""
    for damaged in (content[:-20], content.replace(b'"format": 1', b'"format": 9')):
        storage.write(path, damaged)
        with pytest.raises(ManifestError, match="frames-0000000"):
            manifest(storage).record(7, 0)
        with pytest.raises(ManifestError, match="frames-0000000"):
            functions_of_task(storage, TASK)


def test_tasks_with_one_id_on_different_servers_have_different_manifests(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    manifest(storage).write(7, {0: annotated()})
    other = evolve(TASK, created=TASK.created + timedelta(microseconds=1))
    assert functions_of_task(storage, other) == []
    assert Manifest(storage, task=other, function="f", run=RUN).record(7, 0) is None
    assert describe_namesakes(storage, TASK) == ""
    text = "another task 5, created 2026-01-01 00:00:00 UTC on http://cvat.example:8080"
    assert text in describe_namesakes(storage, other)
    assert describe_namesakes(storage, task_number(55)) == ""


def test_a_summary_tells_that_cvat_went_back_in_time(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    write_summary(manifest(storage), frames=1, task_updated=NOW)
    summary = read_summary(storage, task=TASK, function="f")
    assert summary is not None
    assert summary.task == TASK
    assert not summary.is_later_than(NOW)
    assert not summary.is_later_than(NOW + timedelta(hours=1))
    assert not summary.is_later_than(NOW - timedelta(seconds=1))  # clocks may differ
    assert summary.is_later_than(NOW - timedelta(minutes=1))


def test_slugs_are_readable_and_distinct() -> None:
    assert unique_slug("http://cvat.example:8080").startswith("http-cvat-example-8080-")
    assert unique_slug("a b") != unique_slug("a-b")


def test_a_manifest_in_object_storage() -> None:
    storage = open_storage("memory://bucket/manifest-test")
    book = Manifest(storage, task=TASK, function="f", run=RUN)
    book.write(7, {0: annotated()})
    assert [number for _, number, _ in book.records()] == [0]
    assert write_summary(book, frames=1, task_updated=NOW).done == {"f1 p1": 1}
