"""Image files, intact and damaged."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest

from cvat_flows.tasks.fetch.images import (
    ImageUnreadable,
    decode_image,
    decode_picture,
    hash_file,
)


def file_of(image: PIL.Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def noise(width: int = 40, height: int = 30) -> PIL.Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def test_a_picture_keeps_its_mode_and_can_be_decoded_again() -> None:
    content = file_of(noise().convert("P"))
    picture = decode_picture(content, hash_file(content))
    assert picture.image.mode == "P"
    assert picture.image.format == "PNG"
    assert picture.content_hash == hashlib.sha256(content).hexdigest()
    picture.image.putpixel((0, 0), 255 - picture.image.getpixel((0, 0)))
    again = picture.decode()
    assert again.getpixel((0, 0)) != picture.image.getpixel((0, 0))


@pytest.mark.parametrize(
    "damage",
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
def test_damaged_images_raise_nothing_but_image_unreadable(
    kind: str, damage: Callable[[bytes], bytes]
) -> None:
    content = damage(file_of(noise(), kind))
    try:
        image = decode_image(content)
    except ImageUnreadable:
        return
    # Some formats cannot tell that pixels are wrong, but none may return half an image.
    assert image.size == (40, 30)
    assert len(content) == len(file_of(noise(), kind))


def test_a_truncated_jpeg_is_not_filled_up_with_grey() -> None:
    content = file_of(noise(200, 200), "JPEG")
    with pytest.raises(ImageUnreadable, match=r"the image is damaged: .*truncated"):
        decode_image(content[:-400])


def test_truncated_images_fail_even_if_pillow_is_set_to_load_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageUnreadable):
        decode_image(file_of(noise(200, 200), "JPEG")[:-400])


def test_decompression_bombs_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ImageUnreadable, match=r"too large to be decoded safely: .*1200 pixels"):
        decode_image(file_of(noise(40, 30)))


def test_decompression_bomb_warnings_are_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Between once and twice the limit Pillow only warns; here warnings are errors.
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageUnreadable, match="too large"):
        decode_image(file_of(noise(40, 30)))
