"""Damage, order and limits of `FrameSource`, with a server that follows the test's script."""

from __future__ import annotations

import gc
import io
import os
import sys
import threading
import time
import tracemalloc
import warnings
import weakref
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import PIL.Image
import pytest
from attrs import evolve

from cvat_flows.tasks.cvat.client import http
from cvat_flows.tasks.cvat.client.errors import CvatRefused, CvatUnavailable
from cvat_flows.tasks.cvat.client.retry import DEFAULT_POLICY, RetryPolicy
from cvat_flows.tasks.detect.cache import DetectionCache
from cvat_flows.tasks.detect.content_index import ContentIndex
from cvat_flows.tasks.detect.context import CallOptions
from cvat_flows.tasks.fetch import chunks
from cvat_flows.tasks.fetch.images import LoadedFrame, hash_file
from cvat_flows.tasks.fetch.loader import NICENESS
from cvat_flows.tasks.fetch.plan import plan_frames
from cvat_flows.tasks.fetch.source import FrameSource
from cvat_flows.tasks.model.annotations import Detection
from cvat_flows.tasks.model.frames import Batch, Outcome
from cvat_flows.tasks.storage import FolderStorage
from tests.support.waiting import wait_until
from tests.tasks.cvat.client.scripted_server import Reply, cut_off, hang_up, reply
from tests.tasks.fetch.chunk_server import ChunkServer, archive, png


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DEFAULT_POLICY", RetryPolicy(first_wait=0.0))


@pytest.fixture
def server() -> Iterator[ChunkServer]:
    with ChunkServer([png(n) for n in range(10)]) as server:
        yield server


def batches_of(server: ChunkServer, frames_per_run: int = 3, **options: Any) -> tuple[Batch, ...]:
    return plan_frames(server.media, frames_per_run=frames_per_run, **options).batches


def fetch_all(server: ChunkServer, **options: Any) -> list[LoadedFrame]:
    batches = batches_of(server)
    with FrameSource(server.client, server.media, batches, **options) as source:
        return [loaded for batch in batches for loaded in source.fetch(batch)]


def widths(loaded: Sequence[LoadedFrame]) -> dict[int, int | None]:
    return {one.frame.number: one.image.width if one.image else None for one in loaded}


ALL = {n: 40 + n for n in range(10)}


def test_every_frame_comes_with_its_image_and_hash(server: ChunkServer) -> None:
    loaded = fetch_all(server)
    assert widths(loaded) == ALL
    for one in loaded:
        assert one.outcome.content_hash == hash_file(server.files[one.frame.number])
        assert one.outcome.failure is None
        assert not one.outcome.cached
    assert server.asked == {("chunk", 0): 1, ("chunk", 1): 1, ("chunk", 2): 1}


def test_batches_can_be_fetched_in_any_order_and_again(server: ChunkServer) -> None:
    batches = batches_of(server)
    with FrameSource(server.client, server.media, batches) as source:
        for index in (3, 0, 4, 0, 2, 1, 3):
            loaded = source.fetch(batches[index])
            assert [one.frame for one in loaded] == list(batches[index].frames)
            assert all(one.image is not None for one in loaded)


def test_a_single_frame_is_downloaded_without_its_chunk(server: ChunkServer) -> None:
    batches = batches_of(server)
    with FrameSource(server.client, server.media, batches) as source:
        for batch in batches:
            source.fetch(batch)
        alone = attrs.evolve(batches[1], frames=batches[1].frames[:1])
        (loaded,) = source.fetch(alone)
    assert widths([loaded]) == {2: 42}
    assert server.asked["frame", 2] == 1
    assert server.asked["chunk", 0] == 1


def test_without_a_plan(server: ChunkServer) -> None:
    with FrameSource(server.client, server.media) as source:
        for batch in batches_of(server):
            assert all(one.image is not None for one in source.fetch(batch))


def test_several_threads(server: ChunkServer) -> None:
    batches = batches_of(server, 1)
    found: dict[int, int | None] = {}
    with FrameSource(server.client, server.media, batches) as source:

        def take(mine: Sequence[Batch]) -> None:
            for batch in mine:
                found.update(widths(source.fetch(batch)))

        threads = [threading.Thread(target=take, args=(batches[n::3],)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ALL


# -- damage ------------------------------------------------------------------------------------

BAD = b"no image"


def replace_file(server: ChunkServer, number: int, content: bytes) -> None:
    server.files[number] = content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (BAD, "is not an image that Pillow can read"),
        (png(5)[:-60], "the image is damaged"),
    ],
    ids=["empty", "text", "truncated"],
)
def test_an_unreadable_image_fails_alone(server: ChunkServer, content: bytes, words: str) -> None:
    replace_file(server, 5, content)
    loaded = fetch_all(server)
    assert widths(loaded) == ALL | {5: None}
    failure = loaded[5].outcome.failure
    assert failure is not None
    assert failure.step == "fetch"
    assert failure.error.startswith("frame 5 · im005.png: ")
    assert words in failure.error
    assert failure.error_type == "ImageUnreadable"


def test_a_decompression_bomb_fails_alone(
    server: ChunkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 49 * 30 // 2 + 10)
    bomb = io.BytesIO()
    PIL.Image.new("L", (500, 500)).save(bomb, "PNG")
    replace_file(server, 2, bomb.getvalue())
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 500 * 500 // 2 - 1)
    loaded = fetch_all(server)
    assert widths(loaded) == ALL | {2: None}
    failure = loaded[2].outcome.failure
    assert failure is not None
    assert "too large to be decoded safely" in failure.error


def damaged_member(body: bytes) -> bytes:
    """Change a byte of the last image, which only the archive's own checksum covers."""
    place = body.rindex(b"IDAT") + 8
    return body[:place] + bytes([body[place] ^ 255]) + body[place + 1 :]


def damaged_directory(body: bytes) -> bytes:
    """Let the archive's directory name an unknown ZIP version."""
    place = body.index(b"PK\x01\x02") + 6
    return body[:place] + b"\xff" + body[place + 1 :]


def test_a_file_with_a_wrong_checksum_is_downloaded_alone(server: ChunkServer) -> None:
    body = damaged_member(archive(server.files[4:8]))
    server.chunk_reply[1] = [server.chunk_of(body)]
    assert widths(fetch_all(server)) == ALL
    assert server.asked["frame", 7] == 1
    assert sum(count for (kind, _), count in server.asked.items() if kind == "frame") == 1


def members(*files: tuple[str, bytes], encrypted: bool = False, **options: Any) -> bytes:
    """Make an archive of named files."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", **options) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in files:
            made.writestr(name, content)
    found = body.getvalue()
    if encrypted:  # set the flag in the directory, which alone is asked
        place = found.index(b"PK\x01\x02") + 8
        found = found[:place] + b"\1" + found[place + 1 :]
    return found


def numbered(files: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(f"{n:06d}.png", content) for n, content in enumerate(files)]


@pytest.mark.parametrize("times", [1, 99])
@pytest.mark.parametrize(
    "other",
    [
        lambda files: members(*numbered(files[:3])),
        lambda files: members(*numbered(files[1:])),
        lambda files: members(*numbered([*files, files[0]])),
        lambda files: members(*numbered(files)[:3], ("000002.png", files[3])),
        lambda files: members(*numbered(files)[:3], ("a/000003.png", files[3])),
        lambda files: members(*numbered(files)[:3], ("../000003.png", files[3])),
        lambda files: members(*reversed(numbered(files))),
        lambda files: members(*numbered(files), encrypted=True),
        lambda files: members(*numbered(files), compression=zipfile.ZIP_LZMA),
    ],
    ids=[
        "short",
        "first_missing",
        "long",
        "twice",
        "folder",
        "parent",
        "order",
        "encrypted",
        "lzma",
    ],
)
def test_a_chunk_of_other_files_is_damaged(
    server: ChunkServer, other: Callable[[list[bytes]], bytes], times: int
) -> None:
    """Images are found by their position. With a missing or additional file it is the wrong one."""
    server.chunk_reply[1] = [server.chunk_of(other(server.files[4:8]))] * times
    assert widths(fetch_all(server)) == ALL
    assert server.asked["chunk", 1] == min(times + 1, chunks.MAX_CHUNK_DOWNLOADS)
    alone = {number for kind, number in server.asked if kind == "frame"}
    assert alone == (set() if times == 1 else {4, 5, 6, 7})


def test_a_compressed_archive_is_read(server: ChunkServer) -> None:
    body = members(*numbered(server.files[4:8]), compression=zipfile.ZIP_DEFLATED)
    server.chunk_reply[1] = [server.chunk_of(body)]
    assert widths(fetch_all(server)) == ALL
    assert not any(kind == "frame" for kind, _ in server.asked)


@pytest.mark.parametrize("stated", [None, 200])
def test_a_file_that_unpacks_to_more_than_an_image_is_not_unpacked(
    server: ChunkServer, stated: int | None
) -> None:
    bomb = server.files[6] + bytes(300_000_000)
    files = [*server.files[4:6], bomb, server.files[7]]
    body = members(*numbered(files), compression=zipfile.ZIP_DEFLATED)
    if stated:  # the directory lies about its size
        true, told = (n.to_bytes(4, "little") for n in (len(bomb), stated))
        assert body.count(true) == 2
        body = body.replace(true, told)
    assert len(body) < 1_000_000
    del bomb, files
    server.chunk_reply[1] = [server.chunk_of(body)]
    tracemalloc.start()
    try:
        assert widths(fetch_all(server)) == ALL
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert server.asked["frame", 6] == 1


# -- size --------------------------------------------------------------------------------------


def test_an_image_of_another_size_than_cvat_says_fails_alone(server: ChunkServer) -> None:
    replace_file(server, 5, png(60))
    loaded = fetch_all(server)
    assert widths(loaded) == ALL | {5: None}
    failure = loaded[5].outcome.failure
    assert failure is not None
    assert failure.step == "fetch"
    assert failure.error_type == "ImageSizeDiffers"
    assert "frame 5 · im005.png: the image has 100x30 pixels, but CVAT says 45x30" in failure.error
    assert loaded[5].outcome.content_hash is None


def test_a_chunk_of_the_wrong_images_is_replaced_by_single_frames(server: ChunkServer) -> None:
    server.chunk_reply[1] = [server.chunk_of(archive(server.files[0:4]))]
    assert widths(fetch_all(server)) == ALL


@pytest.mark.parametrize(
    "damage",
    [
        lambda server: server.chunk_of(archive(server.files[4:8])[:-300]),
        lambda server: server.chunk_of(archive(server.files[4:8]), X_Checksum="5"),
        lambda server: server.chunk_of(b"<html>gateway</html>"),
        lambda server: server.chunk_of(b""),
        lambda server: reply(200, b""),
        lambda server: cut_off(90_000, archive(server.files[4:8])),
        lambda server: hang_up,
        lambda server: reply(503),
        lambda server: reply(504),
        lambda server: reply(429, Retry_After="0"),
    ],
    ids=["truncated", "checksum", "html", "empty", "bare", "cut_off", "reset", "503", "504", "429"],
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_chunk_that_arrives_damaged_is_downloaded_again(
    server: ChunkServer, damage: Callable[[ChunkServer], Reply], times: int
) -> None:
    server.chunk_reply[1] = [damage(server)] * times
    assert widths(fetch_all(server)) == ALL
    assert server.asked["chunk", 1] == times + 1
    assert not any(kind == "frame" for kind, _ in server.asked)


@pytest.mark.parametrize(
    "damage",
    [
        lambda server: server.chunk_of(archive(server.files[4:8]), X_Checksum="5"),
        lambda server: server.chunk_of(BAD),
        lambda server: server.chunk_of(damaged_directory(archive(server.files[4:8]))),
        lambda server: reply(500, b"UnidentifiedImageError"),
        lambda server: reply(504),
    ],
    ids=["checksum", "no archive", "directory", "500", "504"],
)
def test_a_chunk_that_stays_damaged_is_fetched_frame_by_frame(
    server: ChunkServer, damage: Callable[[ChunkServer], Reply]
) -> None:
    server.chunk_reply[1] = [damage(server)] * 50
    server.frame_reply[6] = [reply(500)] * 50
    server.frame_reply[7] = [reply(400, b"[]")]
    loaded = fetch_all(server)
    assert widths(loaded) == ALL | {6: None, 7: None}
    errors = [loaded[n].outcome.failure for n in (6, 7)]
    assert all(failure is not None and failure.step == "fetch" for failure in errors)
    assert "frame 6 (im006.png) of task 5: CVAT answered 500" in str(errors[0])
    assert "frame 7 (im007.png) of task 5: CVAT answered 400" in str(errors[1])
    assert server.asked["chunk", 1] <= 2 * max(
        chunks.MAX_CHUNK_DOWNLOADS, DEFAULT_POLICY.max_attempts
    )


def test_a_broken_connection_does_not_fail_frames(server: ChunkServer) -> None:
    server.chunk_reply[0] = [hang_up] * (DEFAULT_POLICY.max_attempts)
    (first, *_) = batches = batches_of(server, 4)
    with FrameSource(server.client, server.media, batches) as source:
        with pytest.raises(CvatUnavailable, match="chunk 0 of task 5: no answer from CVAT"):
            source.fetch(first)
        assert len(source.fetch(first)) == 4
    assert not any(kind == "frame" for kind, _ in server.asked)


def test_a_server_that_is_down_does_not_fail_frames(server: ChunkServer) -> None:
    server.chunk_reply[1] = [reply(503)] * 99
    server.frame_reply = {n: [reply(503)] * 99 for n in range(4, 8)}
    batches = batches_of(server, 4)
    with FrameSource(server.client, server.media, batches) as source:
        assert len(source.fetch(batches[0])) == 4
        for _ in range(2):
            with pytest.raises(CvatUnavailable, match=r"frame \d .* of task 5: CVAT answered 503"):
                source.fetch(batches[1])
        assert len(source.fetch(batches[2])) == 2
        server.chunk_reply, server.frame_reply = {}, {}
        assert widths(source.fetch(batches[1])) == {n: 40 + n for n in range(4, 8)}


def test_a_deleted_task_is_refused(server: ChunkServer) -> None:
    server.chunk_reply[0] = [reply(404)] * 9
    (first, *_) = batches = batches_of(server, 4)
    with (
        FrameSource(server.client, server.media, batches) as source,
        pytest.raises(CvatRefused, match="chunk 0 of task 5 does not exist"),
    ):
        source.fetch(first)
    assert server.asked["chunk", 0] == 1


# -- limits ------------------------------------------------------------------------------------


def nothing_left(seen: Sequence[weakref.ref[PIL.Image.Image]]) -> bool:
    gc.collect()
    return all(reference() is None for reference in seen)


def test_memory_is_limited() -> None:
    with ChunkServer([png(n % 90) for n in range(120)], chunk_size=4) as server:
        seen: list[weakref.ref[PIL.Image.Image]] = []
        batches = batches_of(server, 4)
        source = FrameSource(server.client, server.media, batches)
        with source:
            for batch in batches:
                loaded = source.fetch(batch)
                seen.extend(weakref.ref(one.image) for one in loaded if one.image is not None)
                assert len(source._chunks.held) <= 2 + 2
                del loaded
                # The loading thread releases the images a moment after it has returned them.
                wait_until(lambda: nothing_left(seen), what="the images are released")
                asked = max(number for _, number in list(server.asked))
                assert asked <= batch.chunk + 4
            assert source._chunks.held == ()
        assert len(seen) == 120
        assert source._hashes == {}
        assert source._pending == {}


def test_the_next_chunks_are_downloaded_meanwhile(server: ChunkServer) -> None:
    batches = batches_of(server, 4)
    with FrameSource(server.client, server.media, batches) as source:
        source.fetch(batches[0])
        wait_until(lambda: source._chunks.peek(1), what="the next chunk is here")
        wait_until(lambda: source._chunks.peek(2), what="the chunk after that is here")
        asked = server.asked.copy()
        source.fetch(batches[1])
        source.fetch(batches[2])
        assert server.asked == asked


def test_large_chunks_go_to_an_unnamed_file(
    server: ChunkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK_IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    batches = batches_of(server)
    with FrameSource(server.client, server.media, batches) as source:
        loaded = [one for batch in batches for one in source.fetch(batch)]
        # Nothing is left behind even by a process that is killed now.
        assert list(tmp_path.iterdir()) == []
    assert widths(loaded) == ALL


def test_closing_early_is_quick_and_clean(server: ChunkServer) -> None:
    server.chunk_reply[1] = [reply(429, Retry_After="55")] * 9
    batches = batches_of(server, 4)
    with FrameSource(server.client, server.media, batches) as source:
        source.fetch(batches[0])
        wait_until(lambda: server.asked["chunk", 1], what="the chunk is asked for")
        begin = time.monotonic()
    assert time.monotonic() - begin < 50
    assert not [t for t in threading.enumerate() if t.name.startswith(("chunk", "decode"))]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
def test_decoding_has_a_lower_priority_than_the_model(server: ChunkServer) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    batches = batches_of(server, 4)
    with FrameSource(server.client, server.media, batches) as source:
        source.fetch(batches[0])
        niceness = {
            os.getpriority(os.PRIO_PROCESS, thread.native_id or 0)
            for thread in threading.enumerate()
            if thread.name.startswith("decode")
        }
    assert niceness == {min(19, own + NICENESS)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


# -- cache -------------------------------------------------------------------------------------

FOUND = (Detection(type="rectangle", label_id=1, points=(0.0, 0.0, 1.0, 1.0)),)


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "storage")


def known(server: ChunkServer, storage: FolderStorage) -> dict[str, Any]:
    return {
        "cache": DetectionCache(storage, fingerprint="f", options=CallOptions(), image_only=True),
        "content": ContentIndex(storage, server.media),
    }


def test_a_second_run_downloads_nothing(server: ChunkServer, storage: FolderStorage) -> None:
    options = known(server, storage)
    for one in fetch_all(server, **options):
        assert not one.outcome.cached
        options["cache"].put_many([evolve(one.outcome, detections=FOUND)])
    server.asked.clear()
    loaded = fetch_all(server, **known(server, storage))
    assert not server.asked
    assert widths(loaded) == dict.fromkeys(range(10))
    assert all(one.outcome.cached and one.outcome.detections == FOUND for one in loaded)
    assert [one.outcome.content_hash for one in loaded] == [hash_file(f) for f in server.files]


def test_cached_batches_are_known_without_a_download(
    server: ChunkServer, storage: FolderStorage
) -> None:
    options = known(server, storage)
    batches = batches_of(server, 2)
    with FrameSource(server.client, server.media, batches, **options) as source:
        assert not any(source.is_cached(batch) for batch in batches)
    for one in fetch_all(server, **options):
        if one.frame.number != 6:
            options["cache"].put_many([evolve(one.outcome, detections=FOUND)])
    source = FrameSource(server.client, server.media, batches, **options)
    whole = [6 not in [frame.number for frame in batch.frames] for batch in batches]
    assert [source.is_cached(batch) for batch in batches] == whole
    assert whole.count(False) == 1
    source.close()
    without = FrameSource(server.client, server.media, batches)
    assert not any(without.is_cached(batch) for batch in batches)
    without.close()


def test_only_chunks_with_unknown_frames_are_downloaded(
    server: ChunkServer, storage: FolderStorage
) -> None:
    options = known(server, storage)
    for one in fetch_all(server, **options):
        if one.frame.number != 6:
            options["cache"].put_many([evolve(one.outcome, detections=FOUND)])
    server.asked.clear()
    loaded = fetch_all(server, **options)
    assert server.asked == {("chunk", 1): 1}
    assert widths(loaded) == dict.fromkeys(range(10)) | {6: 46}


def test_an_image_known_from_another_task_is_not_decoded(
    server: ChunkServer, storage: FolderStorage
) -> None:
    cache = DetectionCache(storage, fingerprint="f", options=CallOptions(), image_only=True)
    frame = evolve(server.media.frame(7), name="elsewhere.png")
    content_hash = hash_file(server.files[3])
    cache.put_many([Outcome(frame=frame, content_hash=content_hash, detections=FOUND)])
    loaded = fetch_all(server, cache=cache)
    assert loaded[3].outcome.cached
    assert widths(loaded) == ALL | {3: None}


def test_unreadable_images_are_not_added_to_the_index(
    server: ChunkServer, storage: FolderStorage
) -> None:
    replace_file(server, 5, BAD)
    options = known(server, storage)
    fetch_all(server, **options)
    assert sorted(options["content"].read(1)) == [4, 6, 7]


def test_content_that_changed_is_not_added_to_the_index(
    server: ChunkServer, storage: FolderStorage
) -> None:
    server.updated = "2026-12-24T00:00:00Z"
    options = known(server, storage)
    fetch_all(server, **options)
    assert list(storage.list("content")) == []


def test_another_thread_may_drop_the_index_at_any_time(
    server: ChunkServer, storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: list[Any] = []
    gone_after_one_read = property(
        lambda source: values.pop() if values else None,
        lambda source, content: values.append(content),
    )
    monkeypatch.setattr(FrameSource, "_content", gone_after_one_read, raising=False)
    with FrameSource(server.client, server.media, **known(server, storage)) as source:
        loaded = source.fetch(batches_of(server)[0])
    assert all(one.image is not None for one in loaded)


def test_content_that_changed_is_not_read_from_the_index(
    server: ChunkServer, storage: FolderStorage
) -> None:
    options = known(server, storage)
    for one in fetch_all(server, **options):
        if one.frame.number != 4:
            options["cache"].put_many([evolve(one.outcome, detections=FOUND)])
    other = png(5) + b"more"
    replace_file(server, 5, other)
    server.updated = "2026-12-24T00:00:00Z"
    loaded = fetch_all(server, **options)
    assert loaded[5].outcome.content_hash == hash_file(other)
    assert not loaded[5].outcome.cached


def test_detections_of_another_task_are_not_used_if_cvat_says_another_size(
    server: ChunkServer, storage: FolderStorage
) -> None:
    """Another task can have the same image under another size, as if it were turned."""
    cache = DetectionCache(storage, fingerprint="f", options=CallOptions(), image_only=True)
    for n, content in enumerate(server.files):
        outcome = Outcome(frame=server.media.frame(n), content_hash=hash_file(content))
        cache.put_many([evolve(outcome, detections=FOUND)])
    sizes = list(server.media.sizes)
    sizes[3] = sizes[3][::-1]
    server.media = attrs.evolve(server.media, sizes=tuple(sizes))
    loaded = fetch_all(server, cache=cache, content=ContentIndex(storage, server.media))
    assert [one.outcome.cached for one in loaded] == [n != 3 for n in range(10)]
    failure = loaded[3].outcome.failure
    assert failure is not None
    assert failure.error_type == "ImageSizeDiffers"
    assert 3 not in ContentIndex(storage, server.media).read(0)


def test_a_cache_that_was_emptied_is_no_problem(
    server: ChunkServer, storage: FolderStorage
) -> None:
    options = known(server, storage)
    for one in fetch_all(server, **options):
        options["cache"].put_many([evolve(one.outcome, detections=FOUND)])
    for file in list(storage.list("detections")):
        storage.delete(file.path)
    assert widths(fetch_all(server, **options)) == ALL


def test_a_fresh_image_for_another_attempt(server: ChunkServer) -> None:
    one = fetch_all(server)[2]
    assert one.image is not None
    one.image.putpixel((0, 0), (9, 9, 9))
    fresh = one.fresh()
    assert fresh.image is not None
    assert fresh.image.getpixel((0, 0)) == (2, 0, 0)
    assert fresh.outcome == one.outcome
