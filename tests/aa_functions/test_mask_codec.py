"""Masks are encoded as the SDK does it."""

from __future__ import annotations

import numpy as np
from cvat_sdk.masks import encode_mask
from hypothesis import given
from hypothesis import strategies as st

from aa_functions.mask_codec import encode_bitmap


@given(
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    left=st.integers(0, 9),
    top=st.integers(0, 9),
)
def test_the_same_numbers_as_those_of_the_sdk(height, width, share, seed, left, top):
    bitmap = np.random.default_rng(seed).random((height, width)) < share
    image = np.zeros((20, 20), bool)
    image[top : top + height, left : left + width] = bitmap
    assert encode_bitmap(bitmap, left, top) == (encode_mask(image) if bitmap.any() else None)


def test_a_mask_without_a_pixel_has_no_points():
    assert encode_bitmap(np.zeros((3, 4), bool)) is None
