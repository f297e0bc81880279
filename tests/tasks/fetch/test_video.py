"""Frames of a video chunk, in any order and from damaged files."""

from __future__ import annotations

import io

import av
import numpy as np
import PIL.Image
import pytest

from cvat_flows.tasks.fetch.video import VideoChunk


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


def test_frames_are_found_by_index_in_any_order() -> None:
    file = clip(12)
    expected = all_frames(file)
    assert len(expected) == 12
    chunk = VideoChunk(file)
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
    first = VideoChunk(io.BytesIO(content)).pictures(range(6))
    second = VideoChunk(io.BytesIO(content)).pictures([5, 4, 3, 2, 1, 0])
    hashes = [first[n].content_hash for n in range(6)]
    assert hashes == [second[n].content_hash for n in range(6)]
    assert len(set(hashes)) == 6


@pytest.mark.parametrize("keep", [0, 20, 600])
def test_a_truncated_video_has_no_pictures(keep: int) -> None:
    content = clip(8).getvalue()[:keep]
    assert VideoChunk(io.BytesIO(content)).pictures([0, 7]) == {}


def test_indexes_beyond_the_chunk_are_left_out() -> None:
    chunk = VideoChunk(clip(3))
    assert sorted(chunk.pictures([1, 3, 9])) == [1]
    assert sorted(chunk.pictures([0, 1, 2])) == [0, 1, 2]
