"""Combine what several functions found on an image.

Rectangles without rotation are fused (`fusion`). Of tags of one label, and of other shapes of one
label and type that overlap, the most confident one stays. Confidence is weighted. All of them get a
fused score: the sum, over the functions that found the object, of weight times best score, divided
by the weights of all functions that know the label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aa_functions.wrappers.found import (
    TAG,
    Found,
    Groups,
    arrays_of,
    by_label_and_kind,
)
from aa_functions.wrappers.fusion import fuse_boxes
from aa_functions.wrappers.merge import groups_by


def combine(
    found: Iterable[Found],
    *,
    weights: Sequence[float],
    known_weights: Mapping[Any, float],
    threshold: float,
    conf: float | None = None,
) -> list[Any]:
    """Combine annotations of several functions.

    Args:
        found: Tags and shapes; `Found.source` is the position of their function.
        weights: Weight of each function.
        known_weights: Sum of the weights of the functions that know a label, by its id.
        threshold: Intersection over union above which shapes are one object.
        conf: Minimum fused score, 0 to 1.

    Returns:
        Annotations by falling score. Groups of different functions stay apart.
    """
    combined: list[tuple[float, Found, dict[str, Any]]] = []
    for alike in by_label_and_kind(found):
        for group, changes in _objects(alike, weights, threshold):
            best: dict[int, float] = {}
            for one in group:
                best[one.source] = max(one.score, best.get(one.source, 0.0))
            total = sum(weights[source] * score for source, score in best.items())
            score = round(total / known_weights[group[0].label], 4)
            if conf is not None and score < conf:
                continue
            if any(one.item.get("score") is not None for one in group):
                changes = {**changes, "score": score}
            combined.append((score, group[0], changes))
    combined.sort(key=lambda one: -one[0])
    groups = Groups()
    return [one.to_annotation(**{**groups.change(one), **more}) for _, one, more in combined]


def _objects(
    alike: Sequence[Found], weights: Sequence[float], threshold: float
) -> Iterator[tuple[list[Found], dict[str, Any]]]:
    """Yield the annotations of each object, with what fusing changes in the first one."""
    weighted = np.array([one.score * weights[one.source] for one in alike])
    if alike[0].kind == TAG:
        yield [alike[index] for index in np.argsort(-weighted, kind="stable")], {}
    elif alike[0].kind == "rectangle" and not any(one.rotation for one in alike):
        bounds, _ = arrays_of(alike)
        for cluster in fuse_boxes(bounds, weighted, threshold=threshold):
            points = [round(value, 2) for value in cluster.box]
            yield [alike[index] for index in cluster.members], {"points": points}
    else:
        for group in groups_by(weighted, alike, threshold=threshold, metric="union"):
            yield group, {}
