"""Image files, intact and damaged."""

from __future__ import annotations

import hashlib
import io
import resource
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
import pytest

from cvat_flows.tasks.fetch.images import (
    BadPixelLimit,
    ImageSizeDiffers,
    ImageUnreadable,
    decode_image,
    decode_picture,
    has_size,
    hash_file,
    set_pixel_limit,
)

SIZE = [(40, 30)]


def file_of(image: PIL.Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def noise(width: int = 40, height: int = 30) -> PIL.Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def test_a_picture_keeps_its_mode_and_can_be_decoded_again() -> None:
    content = file_of(noise().convert("P"))
    picture = decode_picture(content, hash_file(content), SIZE)
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
        image = decode_image(content, SIZE)
    except ImageUnreadable:
        return
    # Some formats cannot tell that pixels are wrong, but none may return half an image.
    assert image.size == (40, 30)
    assert len(content) == len(file_of(noise(), kind))


def test_a_truncated_jpeg_is_not_filled_up_with_grey() -> None:
    content = file_of(noise(200, 200), "JPEG")
    with pytest.raises(ImageUnreadable, match=r"the image is damaged: .*truncated"):
        decode_image(content[:-400], [(200, 200)])


def test_truncated_images_fail_even_if_pillow_is_set_to_load_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageUnreadable):
        decode_image(file_of(noise(200, 200), "JPEG")[:-400], [(200, 200)])


def test_decompression_bombs_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ImageUnreadable, match=r"too large to be decoded safely: .*1200 pixels"):
        decode_image(file_of(noise(40, 30)), SIZE)


def test_decompression_bomb_warnings_are_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Between once and twice the limit Pillow only warns; here warnings are errors.
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageUnreadable, match="too large"):
        decode_image(file_of(noise(40, 30)), SIZE)


def test_the_limit_of_pixels_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 500)
    content = file_of(noise(40, 30))
    with pytest.raises(ImageUnreadable, match="set CVAT_FLOWS_MAX_IMAGE_PIXELS to more than"):
        decode_image(content, SIZE)
    monkeypatch.setenv("CVAT_FLOWS_MAX_IMAGE_PIXELS", "2400")
    set_pixel_limit()
    assert decode_image(content, SIZE).size == (40, 30)
    monkeypatch.setenv("CVAT_FLOWS_MAX_IMAGE_PIXELS", "1199")
    set_pixel_limit()
    with pytest.raises(ImageUnreadable):
        decode_image(content, SIZE)


@pytest.mark.parametrize("text", ["many", "-1", "0", "1e9", "٣"])
def test_a_limit_of_pixels_that_is_not_a_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_FLOWS_MAX_IMAGE_PIXELS", text)
    with pytest.raises(BadPixelLimit, match="must be a number of pixels"):
        set_pixel_limit()


# -- size and orientation ----------------------------------------------------------------------


def turned(kind: str, orientation: int) -> bytes:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return file_of(noise(), kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_handed_over_upright(kind: str, orientation: int) -> None:
    """Its coordinates are then those of the picture that people see in CVAT."""
    content = turned(kind, orientation)
    upright = (40, 30) if orientation < 5 else (30, 40)
    image = decode_image(content, [upright])
    assert image.size == upright
    stored = PIL.Image.open(io.BytesIO(turned(kind, 1)))
    stored.getexif()[0x0112] = orientation
    wanted = PIL.ImageOps.exif_transpose(stored)
    assert image.convert("RGB").tobytes() == wanted.convert("RGB").tobytes()
    assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_image_that_is_turned_against_what_cvat_says_is_refused(kind: str) -> None:
    with pytest.raises(ImageSizeDiffers, match="has 30x40 pixels, but CVAT says 40x30") as caught:
        decode_image(turned(kind, 6), SIZE)
    assert "without an orientation tag" in str(caught.value)


@pytest.mark.parametrize("size", [(41, 30), (30, 40), (4000, 3000), (0, 0)])
def test_an_image_of_another_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageSizeDiffers):
        decode_image(file_of(noise()), [size])


def test_an_image_of_another_size_is_not_unpacked() -> None:
    bomb = file_of(PIL.Image.new("L", (9000, 9000)))
    assert len(bomb) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        with pytest.raises(ImageSizeDiffers):
            decode_image(bomb, SIZE)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB


def test_the_size_of_a_file_is_read_without_decoding_it() -> None:
    content = file_of(noise())
    assert has_size(content[:60], SIZE)
    assert not has_size(content, [(30, 40)])
    assert not has_size(b"text", SIZE)
    assert not has_size(turned("PNG", 6), [(30, 40)])  # nothing but decoding it tells


def test_orientation_that_cannot_be_read_does_not_matter() -> None:
    content = file_of(noise(), "JPEG", exif=b"Exif\0\0garbage!")
    assert decode_image(content, SIZE).size == (40, 30)
