"""How alike two objects of a frame are, from 0 to 1.

Two boxes: intersection over union (IoU). Two rotated boxes: the same of the rotated boxes. Two
polygons, masks or ellipses: the same of their pixels, as COCO counts them. A box and a polygon: the
IoU of their boxes. Two skeletons: COCO's object keypoint similarity. Two tags: 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from attrs import evolve, frozen

from cvat_flows.tasks.evaluate.compare.objects import (
    BOX,
    MARK,
    POSE,
    REGION,
    ROTATED,
    Bools,
    Floats,
    Ints,
    Objects,
)
from cvat_flows.tasks.evaluate.compare.poses import pose_likeness
from cvat_flows.tasks.evaluate.compare.regions import RegionReader
from cvat_flows.tasks.evaluate.compare.rotated import rotated_iou

LEAST = 0.1
"""Pairs that are less alike are not kept."""
_PAIRS_AT_ONCE = 2_000_000
"""Pairs of boxes that are compared in one step: some 300 MB."""

ImageSizes = Mapping[int, tuple[int, int]]
"""Width and height of the images by frame number."""


@frozen(kw_only=True, eq=False)
class Pairs:
    """Objects of a frame that are alike: a detection and a true object each.

    Attributes:
        found: Indices of detections, ascending.
        true: Indices of true objects.
        likeness: From LEAST to 1.
    """

    found: Ints
    true: Ints
    likeness: Floats

    def select(self, chosen: Bools) -> Pairs:
        """Return the pairs that a mask chooses."""
        return Pairs(
            found=self.found[chosen], true=self.true[chosen], likeness=self.likeness[chosen]
        )


def find_pairs(found: Objects, true: Objects, sizes: ImageSizes) -> Pairs:
    """Return all pairs of a detection and a true object of the same frame that are alike.

    The labels do not count. Both must be sorted by frame, as `objects_of` does it.
    """
    parts = [_of_block(found, true, *block) for block in _blocks(found, true)]
    pairs = Pairs(
        found=np.concatenate([np.zeros(0, np.int64), *(part.found for part in parts)]),
        true=np.concatenate([np.zeros(0, np.int64), *(part.true for part in parts)]),
        likeness=np.concatenate([np.zeros(0), *(part.likeness for part in parts)]),
    )
    pairs = _refine(pairs, found, true, sizes)
    return pairs.select(pairs.likeness >= LEAST)


def _blocks(found: Objects, true: Objects) -> Iterator[tuple[Ints, Ints]]:
    """Yield all pairs of the same frame as two columns of indices, a number of frames at a time."""
    frames = np.intersect1d(found.frame, true.frame)
    if not len(frames):
        return
    begin_found, end_found = (np.searchsorted(found.frame, frames, s) for s in ("left", "right"))
    begin_true, end_true = (np.searchsorted(true.frame, frames, s) for s in ("left", "right"))
    many_true = end_true - begin_true
    sizes = (end_found - begin_found) * many_true
    parts = np.flatnonzero(np.diff(np.cumsum(sizes) // _PAIRS_AT_ONCE)) + 1
    for block in np.split(np.arange(len(frames)), parts):
        size, true_count = sizes[block], many_true[block]
        place = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        width = np.repeat(true_count, size)
        yield (
            np.repeat(begin_found[block], size) + place // width,
            np.repeat(begin_true[block], size) + place % width,
        )


def _of_block(found: Objects, true: Objects, a: Ints, b: Ints) -> Pairs:
    """Compare boxes. Keep pairs that may be alike; poses and tags may be without common pixels."""
    likeness = box_iou(found.box[a], true.box[b])
    same = _group(found.kind[a]) == _group(true.kind[b])
    keep = same & ((likeness > 0) | (found.kind[a] >= POSE))
    return Pairs(found=a[keep], true=b[keep], likeness=likeness[keep])


def _group(kind: Ints) -> Ints:
    """Return which objects can be compared at all: shapes, poses or tags."""
    return np.where(kind < POSE, BOX, kind)


def box_iou(a: Floats, b: Floats) -> Floats:
    """Return the IoU of each box of `a` with the box of `b` in the same row.

    >>> box_iou(np.array([[0, 0, 10, 10]]), np.array([[5, 0, 15, 10]])).round(3).tolist()
    [0.333]
    """
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1)
    union = areas - common
    iou: Floats = np.divide(common, union, out=np.zeros(len(a)), where=union > 0)
    return iou


def _refine(pairs: Pairs, found: Objects, true: Objects, sizes: ImageSizes) -> Pairs:
    """Replace the likeness of boxes where the objects are more than boxes."""
    a, b = found.kind[pairs.found], true.kind[pairs.true]
    likeness = pairs.likeness.copy()
    likeness[a == MARK] = 1.0
    regions = RegionReader(sizes)
    rectangles = (np.maximum(a, b) == ROTATED) & (np.minimum(a, b) <= ROTATED)
    for n in np.flatnonzero(rectangles | (a >= POSE) | ((a == REGION) & (b == REGION))):
        one, other = found.shapes[pairs.found[n]], true.shapes[pairs.true[n]]
        if a[n] == POSE:
            likeness[n] = pose_likeness(one, other)
        elif a[n] == REGION:
            likeness[n] = regions.iou(one, other)
        elif a[n] == ROTATED or b[n] == ROTATED:
            likeness[n] = rotated_iou(one, other)
    return evolve(pairs, likeness=likeness)
