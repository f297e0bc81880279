"""Merge annotations of one object that lie in several parts of an image.

Greedy non-maximum merging: the most confident shape takes all shapes of its label and type that
share enough with it, and so on with the rest. What a group becomes:

- rectangles: the box around them; with a rotation, the smallest one that has the rotation of the
  most confident;
- polygons: the outline of their union, within about one pixel;
- masks: their union;
- other shapes and skeletons, compared by the boxes around them: the most confident.

A merged shape has the score, the attributes and the other fields of the most confident one. A part
that lies in a merged shape, but shares little with the most confident one, joins it afterwards: it
is a piece of an object that is larger than a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from aa_functions.mask_codec import encode_bitmap
from aa_functions.wrappers.found import TAG, Found, Groups, arrays_of, by_label_and_kind
from aa_functions.wrappers.geometry import (
    convex_intersection,
    enclosing_rectangle,
    polygon_intersection,
    polygon_union,
    union_of,
)
from aa_functions.wrappers.sweep import Metric, greedy_groups

_INSIDE = 0.9
"""A shape lies in a merged one if it shares this part of its area with it."""


def merge(found: Iterable[Found], *, threshold: float) -> list[Any]:
    """Merge what was found in the parts of an image.

    Args:
        found: Tags and shapes. Of the tags of a label, the most confident one stays.
        threshold: Minimum intersection over the smaller area.

    Returns:
        Annotations in pixels of the image: by falling score, those of equal score in the order in
        which they were found.
    """
    merged: list[Found] = []
    for alike in by_label_and_kind(evolve(one, place=place) for place, one in enumerate(found)):
        if alike[0].kind == TAG:
            merged.append(max(alike, key=lambda one: one.score))
        else:
            merged += _merge_shapes(alike, threshold)
    merged.sort(key=lambda one: (-one.score, one.place))
    numbers = Groups()
    return [one.to_annotation(**numbers.change(one)) for one in merged]


def _merge_shapes(alike: Sequence[Found], threshold: float) -> list[Found]:
    """Merge shapes of one label and type."""
    # Of equal scores the larger first: it is less likely to be cut off by a border.
    shapes = sorted(alike, key=lambda one: -one.area)
    while True:
        scores = np.array([one.score for one in shapes])
        groups = groups_by(scores, shapes, threshold=threshold, metric="smaller")
        if all(len(group) == 1 for group in groups):
            return shapes
        shapes = [_union(group) for group in groups]
        threshold = max(threshold, _INSIDE)


def groups_by(
    scores: np.ndarray, alike: Sequence[Found], *, threshold: float, metric: Metric
) -> list[list[Found]]:
    """Group shapes of one label and type that overlap; the one with the highest score is first."""
    bounds, areas = arrays_of(alike)
    groups = greedy_groups(
        bounds,
        areas,
        scores,
        threshold=threshold,
        metric=metric,
        intersection=_intersection(alike),
    )
    return [[alike[index] for index in group] for group in groups]


def _intersection(alike: Sequence[Found]) -> Callable[[int, int], float] | None:
    """Return what measures the area that two shapes share, or None if their bounds do."""
    kind = alike[0].kind
    if kind == "rectangle" and any(one.rotation for one in alike):
        return lambda one, other: convex_intersection(alike[one].outline, alike[other].outline)
    if kind == "polygon":
        return lambda one, other: polygon_intersection(alike[one].outline, alike[other].outline)
    if kind == "mask":
        return _SharedPixels(alike)
    return None


class _SharedPixels:
    """Counts the pixels that two masks share. Keeps one mask decoded: pairs come sorted."""

    def __init__(self, masks: Sequence[Found]) -> None:
        self._masks = masks
        self._top = -1

    def __call__(self, one: int, other: int) -> float:
        if one != self._top:
            self._top, self._bitmap = one, self._masks[one].bitmap()
        return float(self._bitmap.shared(self._masks[other].bitmap()))


def _union(group: Sequence[Found]) -> Found:
    """Return what a group becomes; the most confident one is first."""
    top = group[0]
    if len(group) == 1:
        return top
    if top.kind == "rectangle":
        corners = np.concatenate([one.outline for one in group])
        points = enclosing_rectangle(corners, top.rotation)
    elif top.kind == "polygon":
        points = polygon_union([one.outline for one in group]).ravel().tolist()
    elif top.kind == "mask":
        union = union_of([one.bitmap() for one in group])
        points = encode_bitmap(union.pixels, union.left, union.top) or []
    else:
        return top
    return evolve(top, item=top.to_annotation(points=points), dx=0, dy=0)
