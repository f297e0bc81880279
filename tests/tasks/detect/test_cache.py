from __future__ import annotations

import errno
import inspect
import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from cvat_sdk.auto_annotation import DetectionFunctionContext

from cvat_flows.tasks.detect.cache import DetectionCache
from cvat_flows.tasks.detect.cache_usage import cache_usage
from cvat_flows.tasks.detect.content_index import ContentIndex
from cvat_flows.tasks.detect.context import CallOptions, DetectionContext, facts_of_frame
from cvat_flows.tasks.detect.pruning import Limits, prune, prune_if_due, prune_to
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Frame, Outcome
from cvat_flows.tasks.storage import FolderStorage, Storage, StorageError, StoredFile
from tests.tasks.fetch.media_factory import make_media

A, B = "aa" * 32, "bb" * 32
FOUND = (
    Detection(
        type="rectangle",
        label_id=1,
        points=(0.1, 2 / 3, 1e300, 5.0),
        score=0.25,
        attributes=((3, "é"),),
    ),
    Detection(
        type="skeleton",
        label_id=2,
        elements=(Detection(type="points", label_id=7, points=(1.0, 2.0), outside=True),),
    ),
)


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path)


def cache_in(
    storage: Storage, fingerprint: str = "f1", *, image_only: bool = True, **options: Any
) -> DetectionCache:
    return DetectionCache(
        storage,
        fingerprint=fingerprint,
        options=CallOptions(**options),
        image_only=image_only,
        title="yolo",
    )


def frame(number: int = 0, name: str = "a.png") -> Frame:
    return Frame(number=number, name=name, width=64, height=48, chunk=0, job_ids=(1,))


def put(cache: DetectionCache, detected: Mapping[str, tuple[Detection, ...]]) -> None:
    cache.put_many(
        Outcome(frame=frame(number), content_hash=content_hash, detections=found)
        for number, (content_hash, found) in enumerate(detected.items())
    )


def get(cache: DetectionCache, content_hash: str, name: str = "a.png") -> Any:
    return cache.find([(frame(name=name), content_hash)]).get(0)


def get_many(cache: DetectionCache, hashes: Iterable[str]) -> dict[str, Any]:
    wanted = list(hashes)
    known = cache.find((frame(number), one) for number, one in enumerate(wanted))
    return {wanted[number]: found for number, found in known.items()}


def entries(storage: Storage) -> list[StoredFile]:
    return [f for f in storage.list("detections") if not f.path.endswith("about.json")]


def test_detections_come_back_exactly(storage: FolderStorage) -> None:
    put(cache_in(storage), {A: FOUND})
    put(cache_in(storage), {B: ()})
    assert get(cache_in(storage), A) == FOUND
    assert get(cache_in(storage), B) == ()
    assert get(cache_in(storage), "cc" * 32) is None


def test_another_function_or_parameter_is_another_entry(storage: FolderStorage) -> None:
    put(cache_in(storage, conf_threshold=0.3), {A: FOUND})
    assert get(cache_in(storage, conf_threshold=0.3), A) == FOUND
    assert get(cache_in(storage, conf_threshold=0.4), A) is None
    assert get(cache_in(storage, conf_threshold=None), A) is None
    assert get(cache_in(storage, "f2", conf_threshold=0.3), A) is None


def test_what_the_function_is_told_counts(storage: FolderStorage) -> None:
    put(cache_in(storage, image_only=False), {A: FOUND})
    assert get(cache_in(storage, image_only=False), A) == FOUND
    assert get(cache_in(storage, image_only=False), A, "b.png") is None
    assert get(cache_in(storage, image_only=False, conf_threshold=0.0), A) is None
    assert get(cache_in(storage, image_only=False, conv_mask_to_poly=True), A) is None
    # Another declaration is another way to find entries, not another way to read them.
    assert get(cache_in(storage, image_only=True), A) is None


def test_the_name_does_not_count_where_only_the_image_does(storage: FolderStorage) -> None:
    put(cache_in(storage), {A: FOUND})
    assert get(cache_in(storage), A, "b.png") == FOUND
    assert get(cache_in(storage, conv_mask_to_poly=True), A, "b.png") is None


def test_all_that_the_sdk_hands_to_a_function_is_in_the_key(storage: FolderStorage) -> None:
    """Fails if cvat_sdk adds something to the context: it must then be filled in, and counts."""
    handed = {
        name
        for name, value in inspect.getmembers(DetectionFunctionContext)
        if not name.startswith("_")
    }
    of_run = {field.name for field in attrs.fields(CallOptions)}
    of_frame = set(facts_of_frame(frame()))
    assert handed == of_run | of_frame == {field.name for field in attrs.fields(DetectionContext)}
    other: dict[str, Any] = {"conf_threshold": 0.3, "conv_mask_to_poly": True}
    put(cache_in(storage, image_only=False), {A: FOUND})
    for name in of_run:
        changed = {name: other[name]}
        assert getattr(CallOptions(**changed).context(frame()), name) == other[name]
        assert get(cache_in(storage, image_only=False, **changed), A) is None, name
    for name in of_frame:
        told = [getattr(CallOptions().context(frame(name=n)), name) for n in ("a.png", "b.png")]
        assert len(set(told)) == 2, name
    assert get(cache_in(storage, image_only=False), A, "b.png") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"{}",
        b"[5]",
        b'{"%s":[{"type":"tag"}]}' % A.encode(),
        b'{"%s":[{"x":1}]}' % A.encode(),
        b'{"%s":[]}' % B.encode(),
        b"\xff\x00",
    ],
)
def test_a_damaged_entry_counts_as_unknown(storage: FolderStorage, content: bytes) -> None:
    cache = cache_in(storage)
    put(cache, {A: FOUND})
    (entry,) = entries(storage)
    storage.write(entry.path, content)
    assert get(cache, A) is None
    put(cache, {A: FOUND})
    assert get(cache, A) == FOUND


def test_detections_that_json_cannot_hold_are_not_cached(storage: FolderStorage) -> None:
    cache = cache_in(storage)
    put(cache, {A: (attrs.evolve(FOUND[0], score=object()),)})
    assert get(cache, A) is None


class Broken:
    """Storage whose disk has failed."""

    pack_size = 0

    def __getattr__(self, name: str) -> Any:
        def fail(*args: Any, **options: Any) -> Any:
            raise StorageError("the disk has failed")

        return fail


def test_failing_storage_does_not_fail_a_run() -> None:
    broken: Any = Broken()
    cache = cache_in(broken)
    put(cache, {A: FOUND})
    assert get(cache, A) is None
    index = ContentIndex(broken, make_media())
    index.add(0, {0: A})
    assert index.read(0) == {}
    assert prune_if_due(broken) is None


def test_get_many_from_a_folder(storage: FolderStorage) -> None:
    cache = cache_in(storage)
    put(cache, {A: FOUND})
    assert get_many(cache, [A, B]) == {A: FOUND}
    assert get_many(cache, []) == {}


def test_a_folder_packs_several_images_into_a_file(
    storage: FolderStorage,
) -> None:
    cache = cache_in(storage)
    detected = {f"{n:02x}" * 32: (FOUND * 20)[: n % 40] for n in range(100)}
    put(cache, detected)
    assert get_many(cache, detected) == detected
    assert [get(cache, content_hash) for content_hash in detected] == list(detected.values())
    assert {Path(f.path).stem for f in entries(storage)} == set(detected)
    files = {(storage.root / f.path).stat().st_ino for f in entries(storage)}
    assert 2 <= len(files) <= 20
    assert not list(storage.root.rglob(".tmp-*"))
    # A second put replaces the entries of its images only.
    one, two, *_ = detected
    storage.write(cache_path(storage, one), b"damaged")
    put(cache, {one: FOUND, two: ()})
    assert get_many(cache, detected) == {**detected, one: FOUND, two: ()}
    assert not list(storage.root.rglob(".tmp-*"))


def cache_path(storage: FolderStorage, content_hash: str) -> str:
    (path,) = [f.path for f in entries(storage) if content_hash in f.path]
    return path


def test_without_hard_links_each_image_has_its_own_file(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*names: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    cache = cache_in(storage)
    for _ in range(2):  # the first write finds out
        put(cache, {A: FOUND, B: ()})
        assert get_many(cache, [A, B]) == {A: FOUND, B: ()}
    sizes = {f.size for f in entries(storage)}
    assert len(sizes) == 2, "each file holds one image"


def test_pruning_by_size_counts_a_file_once(storage: FolderStorage) -> None:
    cache = cache_in(storage)
    detected = {f"{n:02x}" * 32: FOUND for n in range(64)}
    put(cache, detected)
    files = {place.stat().st_ino: place.stat().st_size for place in place_of(storage)}
    assert cache_usage(storage).images == 64
    assert sum(f.size for f in entries(storage)) == pytest.approx(sum(files.values()), rel=0.05)
    assert prune(storage, max_bytes=cache_usage(storage).size).removed == 0
    assert prune(storage, max_bytes=cache_usage(storage).size // 2).removed in range(30, 36)


def place_of(storage: FolderStorage) -> list[Path]:
    return [storage.root / f.path for f in entries(storage)]


# -- content index ---------------------------------------------------------------------------


def test_the_content_index_grows_chunk_by_chunk(storage: FolderStorage) -> None:
    index = ContentIndex(storage, make_media())
    index.add(0, {0: A, 1: B})
    index.add(0, {2: A})
    index.add(3, {12: B})
    again = ContentIndex(storage, make_media())
    assert again.read(0) == {0: A, 1: B, 2: A}
    assert again.read(3) == {12: B}
    assert again.read(1) == {}


def test_the_content_index_is_not_rewritten_without_news(storage: FolderStorage) -> None:
    index = ContentIndex(storage, make_media())
    index.add(0, {0: A})
    (file,) = storage.list("content")
    os.utime(storage.root / file.path, (1e9, 1e9))
    index.add(0, {0: A})
    index.add(5, {})
    assert [f.modified.year for f in storage.list("content")] == [2001]


@pytest.mark.parametrize("change", [{"data": 4}, {"id": 6}], ids=["other data", "other task"])
def test_other_data_has_its_own_content_index(
    storage: FolderStorage, change: dict[str, Any]
) -> None:
    ContentIndex(storage, make_media()).add(0, {0: A})
    assert ContentIndex(storage, make_media(**change)).read(0) == {}
    changed = attrs.evolve(make_media(), chunks_updated_date="2026-02-02T00:00:00Z")
    assert ContentIndex(storage, changed).read(0) == {}
    elsewhere = make_media(created_date="2026-01-01T00:00:01Z")
    assert ContentIndex(storage, elsewhere).read(0) == {}
    by_another_address = attrs.evolve(make_media(), host="http://other.test")
    assert ContentIndex(storage, by_another_address).read(0) == {0: A}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"x": "y"}', b"null", b"\xff"])
def test_a_damaged_content_index_counts_as_empty(storage: FolderStorage, content: bytes) -> None:
    index = ContentIndex(storage, make_media())
    index.add(0, {0: A})
    (file,) = storage.list("content")
    storage.write(file.path, content)
    assert index.read(0) == {}


# -- usage and pruning ------------------------------------------------------------------------


def age(storage: FolderStorage, file: StoredFile, days: float) -> None:
    moment = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(storage.root / file.path, (moment, moment))


def test_usage_is_counted_by_function(storage: FolderStorage) -> None:
    assert cache_usage(storage).images == 0
    put(cache_in(storage, "f1", conf_threshold=0.3), {A: FOUND, B: ()})
    put(cache_in(storage, "f2"), {A: FOUND})
    ContentIndex(storage, make_media()).add(0, {0: A})
    content = cache_usage(storage)
    assert content.images == 3
    assert content.size == sum(f.size for f in storage.list(""))
    kept = {one.fingerprint: one for one in content.functions}
    assert (kept["f1"].images, kept["f2"].images) == (2, 1)
    assert kept["f1"].parameters == {"conf_threshold": 0.3, "conv_mask_to_poly": False}
    assert kept["f1"].title == "yolo"


def test_pruning_by_age(storage: FolderStorage) -> None:
    cache = cache_in(storage)
    put(cache, {A: FOUND})
    put(cache, {B: FOUND})
    for file in entries(storage):
        age(storage, file, 10 if A in file.path else 1)
    pruned = prune(storage, max_age=timedelta(days=5))
    assert (pruned.removed, pruned.kept) == (1, 2)
    assert get(cache, A) is None
    assert get(cache, B) == FOUND


def test_pruning_by_size_removes_the_oldest(storage: FolderStorage) -> None:
    cache = cache_in(storage)
    hashes = [f"{n:02d}" * 32 for n in range(10)]
    for content_hash in hashes:
        put(cache, {content_hash: FOUND})
    for file in entries(storage):
        age(storage, file, int(file.path[-7:-5]))
    size = entries(storage)[0].size
    pruned = prune(storage, max_bytes=5 * size)
    assert pruned.kept_size <= 5 * size
    assert sum(f.size for f in storage.list("")) == pruned.kept_size
    left = [n for n, content_hash in enumerate(hashes) if get(cache, content_hash)]
    assert left == list(range(len(left)))
    assert len(left) >= 4


def test_pruning_without_limits_removes_nothing(storage: FolderStorage) -> None:
    put(cache_in(storage), {A: FOUND})
    assert prune(storage).removed == 0


def test_pruning_leaves_other_files(storage: FolderStorage) -> None:
    storage.write("manifests/5.json", b"{}")
    put(cache_in(storage), {A: FOUND})
    prune(storage, max_bytes=0)
    assert [f.path for f in storage.list("")] == ["manifests/5.json"]


def test_pruning_is_due_once_a_day_and_keeps_the_limits(storage: FolderStorage) -> None:
    cache = cache_in(storage)
    put(cache, {A: FOUND})
    prune_to(storage, Limits(max_age=timedelta(days=1), max_bytes=0))
    assert get(cache, A) is None
    put(cache, {A: FOUND})
    assert prune_if_due(storage) is None
    assert get(cache, A) == FOUND
    known = json.loads(storage.read("cache-pruned.json") or b"")
    known["at"] = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    storage.write("cache-pruned.json", json.dumps(known).encode())
    assert prune_if_due(storage) is not None
    assert get(cache, A) is None


def test_results_of_runs_have_their_own_limits(storage: FolderStorage) -> None:
    runs = [f"results/cvat/task-5/run-{n}/frames.csv" for n in range(3)]
    for days, path in enumerate(runs):
        storage.write(path, b"0123456789")
        written = (datetime.now(UTC) - timedelta(days=days * 60)).timestamp()
        os.utime(storage.root / path, (written, written))
    put(cache_in(storage), {A: FOUND})
    pruned = prune_if_due(storage)
    assert pruned is not None
    assert pruned.removed == 1
    assert [f.path for f in storage.list("results")] == runs[:2]
    assert sorted(p.name for p in (storage.root / "results/cvat/task-5").iterdir()) == [
        "run-0",
        "run-1",
    ]
    prune_to(storage, Limits(results_max_bytes=10))
    assert [f.path for f in storage.list("results")] == runs[:1]
    known = json.loads(storage.read("cache-pruned.json") or b"")
    storage.write("cache-pruned.json", json.dumps({**known, "at": "2020-01-01T00:00Z"}).encode())
    storage.write(runs[1], b"0123456789")
    prune_if_due(storage)
    assert [f.path for f in storage.list("results")] == runs[1:2]
    assert get(cache_in(storage), A) == FOUND


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"at": 3}', b'{"days": "x"}'])
def test_pruning_is_due_without_a_state(storage: FolderStorage, content: bytes | None) -> None:
    if content is not None:
        storage.write("cache-pruned.json", content)
    put(cache_in(storage), {A: FOUND})
    pruned = prune_if_due(storage)
    assert pruned is not None
    assert (pruned.removed, pruned.kept > 0) == (0, True)
    assert prune_if_due(storage) is None
