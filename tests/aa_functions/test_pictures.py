"""Converting pictures of all modes to 8 bits a channel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from aa_functions import to_rgb
from aa_functions.errors import PictureError

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def same(values: np.ndarray) -> None:
    image = to_rgb(Image.fromarray(values))
    assert image.mode == "RGB"
    assert (np.asarray(image) == GREY[:, :, None]).all()


@pytest.mark.parametrize("kind", ["<u2", ">u2", "i4", "f4"])
@pytest.mark.parametrize("white", [255, 4080, 4095, 65280, 65535])
def test_the_largest_value_decides_the_range(kind: str, white: int) -> None:
    factor = {255: 1, 4080: 16, 4095: 16, 65280: 256, 65535: 256}[white]
    values = GREY.astype(np.int64) * factor
    values[-1, -1] = white
    same(values.astype(kind))


def test_floats_from_0_to_1() -> None:
    same(GREY.astype(np.float32) / 255)


@pytest.mark.parametrize("kind", ["u2", "i4", "f4"])
def test_black_stays_black(kind: str) -> None:
    image = to_rgb(Image.fromarray(np.zeros((4, 4), kind)))
    assert image.getextrema() == ((0, 0),) * 3


def test_a_one_among_whole_numbers_is_not_white() -> None:
    assert to_rgb(Image.fromarray(np.ones((2, 2), np.uint16))).getpixel((0, 0)) == (1, 1, 1)


@pytest.mark.parametrize("value", [-1, -0.001, 65536, 1e30, np.inf, -np.inf, np.nan])
def test_other_values_are_refused(value: float) -> None:
    values = np.full((4, 4), 7, np.float32)
    values[2, 1] = value
    with pytest.raises(PictureError, match=r"mode F.*save it with 8 or 16 bits"):
        to_rgb(Image.fromarray(values))


@pytest.mark.parametrize("value", [-1, 65536])
def test_whole_numbers_of_more_than_16_bits_are_refused(value: int) -> None:
    with pytest.raises(PictureError, match=r"mode I\b"):
        to_rgb(Image.fromarray(np.full((4, 4), value, np.int32)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_modes_are_converted_by_pillow(mode: str) -> None:
    colour = Image.effect_noise((16, 16), 80).convert("RGB")
    image = (
        Image.merge("LAB", colour.split())
        if mode == "LAB"
        else colour.convert("L").convert(mode)
        if mode == "LA"
        else colour.convert(mode)
    )
    assert to_rgb(image).tobytes() == image.convert("RGB").tobytes()


def test_an_rgb_image_is_not_copied() -> None:
    image = Image.new("RGB", (4, 4))
    assert to_rgb(image) is image


def test_a_mode_that_pillow_cannot_convert() -> None:
    with pytest.raises(PictureError, match="mode La, which cannot be converted"):
        to_rgb(Image.new("La", (4, 4)))
