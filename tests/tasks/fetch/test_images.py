from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import av
import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest

from cvat_flows.tasks.fetch.images import (
    ImageUnreadable,
    VideoChunk,
    decode_image,
    hash_of,
    picture_of,
)


def file_of(image: PIL.Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def noise(width: int = 40, height: int = 30) -> PIL.Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def test_a_picture_is_loaded_in_its_own_mode_and_can_be_had_again() -> None:
    content = file_of(noise().convert("P"))
    picture = picture_of(content, hash_of(content))
    assert picture.image.mode == "P"
    assert picture.image.format == "PNG"
    assert picture.content_hash == hashlib.sha256(content).hexdigest()
    picture.image.putpixel((0, 0), 255 - picture.image.getpixel((0, 0)))
    again = picture.decode()
    assert again.getpixel((0, 0)) != picture.image.getpixel((0, 0))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"not an image at all",
        lambda content: content[: len(content) // 2],
        lambda content: content[:100] + b"\0" * (len(content) - 100),
        lambda content: content[:8],
    ],
    ids=["empty", "text", "half", "zeros", "signature"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_damaged_images_are_unreadable_and_nothing_worse(
    kind: str, spoil: Callable[[bytes], bytes]
) -> None:
    content = spoil(file_of(noise(), kind))
    try:
        image = decode_image(content)
    except ImageUnreadable:
        return
    # Some formats have no way to tell that pixels are wrong, but none may hand out half a file.
    assert image.size == (40, 30)
    assert len(content) == len(file_of(noise(), kind))


def test_a_truncated_jpeg_is_not_filled_up_with_grey() -> None:
    content = file_of(noise(200, 200), "JPEG")
    with pytest.raises(ImageUnreadable, match=r"the image is damaged: .*truncated"):
        decode_image(content[:-400])


def test_what_a_function_has_set_in_pillow_hides_no_damage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageUnreadable):
        decode_image(file_of(noise(200, 200), "JPEG")[:-400])


def test_decompression_bombs_are_refused_before_they_are_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ImageUnreadable, match=r"too large to be decoded safely: .*1200 pixels"):
        decode_image(file_of(noise(40, 30)))


def test_a_bomb_by_name_is_one_whatever_the_warnings_filter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Between once and twice the limit Pillow only warns; here warnings are errors.
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageUnreadable, match="too large"):
        decode_image(file_of(noise(40, 30)))


# -- video ------------------------------------------------------------------------------------


def clip(count: int, *, codec: str = "libx264") -> io.BytesIO:
    file = io.BytesIO()
    base = np.asarray(noise(16, 12))
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


def test_video_frames_come_by_index_in_any_order() -> None:
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
    # The encoder, with threads, does not make the same film twice.
    content = clip(6).getvalue()
    first = VideoChunk(io.BytesIO(content)).pictures(range(6))
    second = VideoChunk(io.BytesIO(content)).pictures([5, 4, 3, 2, 1, 0])
    hashes = [first[n].content_hash for n in range(6)]
    assert hashes == [second[n].content_hash for n in range(6)]
    assert len(set(hashes)) == 6


@pytest.mark.parametrize("keep", [0, 20, 600])
def test_a_torn_video_gives_what_it_has(keep: int) -> None:
    content = clip(8).getvalue()[:keep]
    assert VideoChunk(io.BytesIO(content)).pictures([0, 7]) == {}


def test_indexes_beyond_the_chunk_are_missing() -> None:
    chunk = VideoChunk(clip(3))
    assert sorted(chunk.pictures([1, 3, 9])) == [1]
    assert sorted(chunk.pictures([0, 1, 2])) == [0, 1, 2]
