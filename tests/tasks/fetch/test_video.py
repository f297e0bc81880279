"""Frames of a video chunk, in any order and from damaged files."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import numpy as np
import PIL.Image
import pytest
from attrs import evolve

from cvat_flows.tasks.fetch import video
from cvat_flows.tasks.fetch.chunks import MAX_CHUNK_DOWNLOADS
from cvat_flows.tasks.fetch.plan import plan_frames
from cvat_flows.tasks.fetch.source import FrameSource
from cvat_flows.tasks.fetch.video import VideoChunk
from tests.tasks.fetch.chunk_server import ChunkServer

SIZES = [(64, 48)]


def clip(count: int, *, codec: str = "libx264") -> io.BytesIO:
    file = io.BytesIO()
    base = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(count):
            image = PIL.Image.fromarray(np.roll(base, n, axis=1)).resize((64, 48))
            for packet in stream.encode(av.VideoFrame.from_image(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    file.seek(0)
    return file


def all_frames(file: io.BytesIO) -> list[np.ndarray]:
    with av.open(io.BytesIO(file.getvalue())) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(params=["held", "decoded twice"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "held":
        monkeypatch.setattr(video, "MAX_HELD_PIXELS", 1000)


@pytest.mark.usefixtures("_both_ways")
def test_frames_are_found_by_index_in_any_order() -> None:
    file = clip(12)
    expected = all_frames(file)
    assert len(expected) == 12
    chunk = VideoChunk(file, count=12, sizes=SIZES)
    for wanted in ([0, 1, 2], [3, 5], [11], [4, 3], [], [0]):
        pictures = chunk.pictures(wanted)
        assert sorted(pictures) == sorted(wanted)
        for index, picture in pictures.items():
            assert picture.image.mode == "RGB"
            assert (np.asarray(picture.image) == expected[index]).all()
            assert (np.asarray(picture.decode()) == expected[index]).all()
    chunk.close()


def test_equal_video_frames_have_equal_hashes() -> None:
    # One encoded video for both: the encoder uses threads and is not deterministic.
    content = clip(6).getvalue()
    first = VideoChunk(io.BytesIO(content), count=6, sizes=SIZES).pictures(range(6))
    second = VideoChunk(io.BytesIO(content), count=6, sizes=SIZES).pictures([5, 4, 3, 2, 1, 0])
    hashes = [first[n].content_hash for n in range(6)]
    assert hashes == [second[n].content_hash for n in range(6)]
    assert len(set(hashes)) == 6


# -- damage ------------------------------------------------------------------------------------


def zeros_in_the_middle(content: bytes, share: float = 0.5) -> bytes:
    """Replace a part of the frames. The decoder goes on behind it and makes up the rest."""
    begin, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    length = int((end - begin) * share)
    first = (begin + end - length) // 2
    return content[:first] + bytes(length) + content[first + length :]


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:600],
        lambda content: content[: content.index(b"moov")],
        zeros_in_the_middle,
    ],
    ids=["empty", "20 bytes", "600 bytes", "no index", "zeros"],
)
def test_a_damaged_video_has_no_pictures(damage: Callable[[bytes], bytes]) -> None:
    """Not even of its first frames: what is damaged shows only later."""
    content = damage(clip(24).getvalue())
    assert VideoChunk(io.BytesIO(content), count=24, sizes=SIZES).pictures([0, 7]) == {}


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("count", [11, 13])
def test_a_video_with_another_number_of_frames_has_no_pictures(count: int) -> None:
    """Each frame after a missing one would be taken for its neighbour."""
    assert VideoChunk(clip(12), count=count, sizes=SIZES).pictures([0]) == {}


@pytest.mark.parametrize("size", [(64, 47), (48, 64), (640, 480)])
def test_a_video_of_another_size_has_no_pictures(size: tuple[int, int]) -> None:
    assert VideoChunk(clip(3), count=3, sizes=[size]).pictures([0]) == {}


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_damaged_video_is_downloaded_again(times: int) -> None:
    content = clip(24).getvalue()
    damaged = zeros_in_the_middle(content)
    files = [io.BytesIO(damaged) for _ in range(times - 1)]
    if times < 3:
        files.append(io.BytesIO(content))
    chunk = VideoChunk(
        io.BytesIO(damaged),
        count=24,
        sizes=SIZES,
        download_again=lambda: files.pop(0) if files else None,
    )
    for wanted in ([0, 1, 2], [20], [3]):
        found = {n: np.asarray(picture.image) for n, picture in chunk.pictures(wanted).items()}
        assert sorted(found) == (wanted if times < 3 else [])
        for index, pixels in found.items():
            assert (pixels == all_frames(io.BytesIO(content))[index]).all()
    assert files == []


def test_indexes_beyond_the_chunk_are_left_out() -> None:
    chunk = VideoChunk(clip(3), count=3, sizes=SIZES)
    assert sorted(chunk.pictures([1, 3, 9])) == [1]
    assert sorted(chunk.pictures([0, 1, 2])) == [0, 1, 2]


# -- from a server -----------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 99])
def test_a_damaged_chunk_is_downloaded_again_then_frame_by_frame(times: int) -> None:
    """CVAT's checksum covers only the first 1000 bytes, so it is right."""
    content = clip(12).getvalue()
    frames = [file_of(frame) for frame in all_frames(io.BytesIO(content))]
    with ChunkServer(frames, chunk_size=12) as server:
        server.media = evolve(server.media, chunk_type="video")
        damaged = server.chunk_of(zeros_in_the_middle(content))
        server.chunk_reply[0] = [damaged] * times + [server.chunk_of(content)]
        batches = plan_frames(server.media, frames_per_run=4).batches
        with FrameSource(server.client, server.media, batches) as source:
            loaded = [one for batch in batches for one in source.fetch(batch)]
    for one, expected in zip(loaded, frames, strict=True):
        assert one.image is not None
        assert file_of(np.asarray(one.image)) == expected
    assert server.asked["chunk", 0] == min(times + 1, MAX_CHUNK_DOWNLOADS)
    alone = sum(count for (kind, _), count in server.asked.items() if kind == "frame")
    assert alone == (12 if times > 2 else 0)


def test_a_chunk_whose_content_changed_meanwhile_is_not_mixed_with_the_old_one() -> None:
    content = clip(6).getvalue()
    frames = [file_of(frame) for frame in all_frames(io.BytesIO(content))]
    with ChunkServer(frames, chunk_size=6) as server:
        server.media = evolve(server.media, chunk_type="video")
        server.chunk_reply[0] = [
            server.chunk_of(zeros_in_the_middle(content)),
            server.chunk_of(content, X_Updated_Date="2030-01-01T00:00:00Z"),
        ]
        (batch,) = plan_frames(server.media, frames_per_run=6).batches
        with FrameSource(server.client, server.media, [batch]) as source:
            assert all(one.image is not None for one in source.fetch(batch))
    assert server.asked["frame", 5] == 1


def file_of(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
