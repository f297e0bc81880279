"""Masks become polygons of the same area; holes are filled."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aa_functions.outlines import mask_to_polygons


def covered(outlines, shape):
    """How many outlines each pixel is in. Their corners are corners of pixels."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    counts = np.zeros(shape, int)
    for outline in outlines:
        crossings = np.zeros(shape, int)
        for (x, y), (next_x, next_y) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            if x == next_x:
                low, high = sorted((y, next_y))
                crossings += (x < columns) & (low < rows) & (rows < high)
        counts += crossings % 2
    return counts


def without_holes(bitmap):
    """Fill what a walk from the border cannot reach; it does not pass between touching corners."""
    outside = np.pad(np.zeros(bitmap.shape, bool), 1, constant_values=True)
    free = np.pad(~bitmap, 1, constant_values=True)
    while True:
        grown = outside.copy()
        for step, axis in ((-1, 0), (1, 0), (-1, 1), (1, 1)):
            grown |= np.roll(outside, step, axis)
        grown &= free
        if (grown == outside).all():
            return ~outside[1:-1, 1:-1]
        outside = grown


@given(
    height=st.integers(1, 10),
    width=st.integers(1, 10),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_outlines_cover_the_pixels_once_and_fill_holes(height, width, share, seed):
    bitmap = np.random.default_rng(seed).random((height, width)) < share
    outlines = mask_to_polygons(bitmap, tolerance=0)
    assert (covered(outlines, bitmap.shape) == without_holes(bitmap)).all()


def test_islands_are_polygons_of_their_own_but_specks_are_left_out():
    bitmap = np.zeros((40, 30), bool)
    bitmap[1:3, 1:4] = bitmap[3:18, 6:26] = bitmap[39, 0] = True
    assert [outline.tolist() for outline in mask_to_polygons(bitmap)] == [
        [[6, 3], [26, 3], [26, 18], [6, 18]],
        [[1, 1], [4, 1], [4, 3], [1, 3]],
    ]


@pytest.mark.parametrize("tolerance", [1.0, 3.0])
def test_a_simplified_outline_stays_within_the_tolerance(tolerance):
    image = PIL.Image.new("1", (400, 300))
    PIL.ImageDraw.Draw(image).ellipse((20, 30, 370, 280), fill=1)
    [exact] = mask_to_polygons(np.asarray(image), 0)
    [outline] = mask_to_polygons(np.asarray(image), tolerance)
    assert len(outline) < len(exact) / 3
    begins, ends = outline[:, None], np.roll(outline, -1, axis=0)[:, None]
    along = ends - begins
    share = ((exact - begins) * along).sum(-1) / (along**2).sum(-1)
    nearest = begins + np.clip(share, 0, 1)[..., None] * along
    distances = np.sqrt(((exact - nearest) ** 2).sum(-1)).min(axis=0)
    assert distances.max() <= tolerance


def test_an_empty_mask_has_no_outline():
    assert mask_to_polygons(np.zeros((3, 4), bool)) == []
