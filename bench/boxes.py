"""Compare the boxes of two runs, or those of a function with the truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import PIL.Image
from attrs import frozen

from aa_functions.training.shape_images import LABELS, make_shape_image
from bench.stage import Stage
from cvat_flows.tasks.detect.context import DetectionContext

Box = tuple[int, tuple[float, ...]]


@frozen(kw_only=True)
class Difference:
    """The difference of two sets of boxes."""

    one: int
    other: int
    """Number of boxes in each set."""
    paired: int
    """Number of pairs of the same frame and label with an IoU of at least 0.5."""
    largest: float
    """Largest difference of a coordinate within a pair, in pixels."""

    def same_within(self, pixels: float) -> bool:
        return self.one == self.other == self.paired and self.largest <= pixels

    def __str__(self) -> str:
        unpaired = self.one + self.other - 2 * self.paired
        return f"{self.paired} boxes at most {self.largest:.2f} px apart, {unpaired} without a pair"


def boxes_of(stage: Stage, task_id: int) -> dict[int, list[Box]]:
    """Return the rectangles of a task by frame."""
    found: dict[int, list[Box]] = defaultdict(list)
    annotations, _ = stage.client().tasks.api.retrieve_annotations(task_id)
    for shape in annotations.shapes:
        found[shape.frame].append((shape.label_id, tuple(shape.points)))
    return found


def compare(one: dict[int, list[Box]], other: dict[int, list[Box]]) -> Difference:
    """Pair the boxes of each frame, each with the most similar one."""
    paired, largest = 0, 0.0
    for frame in one.keys() | other.keys():
        left = list(other.get(frame, ()))
        for label, points in one.get(frame, ()):
            alike = [
                (overlap(points, candidate[1]), candidate)
                for candidate in left
                if candidate[0] == label
            ]
            best = max(alike, default=(0.0, (0, ())))
            if best[0] >= 0.5:
                left.remove(best[1])
                paired += 1
                apart = (abs(a - b) for a, b in zip(points, best[1][1], strict=True))
                largest = max(largest, *apart)
    return Difference(
        one=sum(map(len, one.values())),
        other=sum(map(len, other.values())),
        paired=paired,
        largest=largest,
    )


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


Detect = Callable[[PIL.Image.Image], Iterable[tuple[int, float, tuple[float, ...]]]]


def detect_with(function: Any) -> Detect:
    """Return a detector of all boxes of an AA function, down to a confidence of 0.01.

    It gives label number, score and points of each box.
    """

    def detect(image: PIL.Image.Image) -> Iterable[tuple[int, float, tuple[float, ...]]]:
        context = DetectionContext(frame_name="", conf_threshold=0.01)
        (shapes,) = function.detect_batch([context], [image])
        return [(shape.label_id, shape.score, tuple(shape.points)) for shape in shapes]

    return detect


def mean_average_precision(detect: Detect, count: int, size: tuple[int, int]) -> float:
    """Return mAP50-95 on `count` held-out pictures: the mean over labels and ten thresholds."""
    truth: dict[tuple[int, int], list[tuple[float, ...]]] = defaultdict(list)
    found: dict[int, list[tuple[float, int, tuple[float, ...]]]] = defaultdict(list)
    for number in range(count):
        picture = make_shape_image(number, seed=90_001, sizes=[size])
        for box in picture.boxes:
            place = (number, LABELS.index(box.label))
            truth[place].append((box.xtl, box.ytl, box.xbr, box.ybr))
        for label, score, points in detect(picture.image):
            found[label].append((score, number, points))
    return float(
        np.mean(
            [
                _average_precision(found[label], truth, label, threshold)
                for label in range(len(LABELS))
                for threshold in np.arange(0.5, 1.0, 0.05)
            ]
        )
    )


def _average_precision(
    found: list[tuple[float, int, tuple[float, ...]]],
    truth: dict[tuple[int, int], list[tuple[float, ...]]],
    label: int,
    threshold: float,
) -> float:
    left = {place: list(boxes) for place, boxes in truth.items() if place[1] == label}
    total = sum(map(len, left.values()))
    right = []
    for _, number, points in sorted(found, reverse=True):
        boxes = left.get((number, label), [])
        best = max(boxes, key=lambda box: overlap(points, box), default=None)
        hit = best is not None and overlap(points, best) >= threshold
        if hit and best is not None:
            boxes.remove(best)
        right.append(hit)
    hits = np.cumsum(right)
    recall = np.concatenate([[0.0], hits / max(total, 1)])
    precision = np.concatenate([[1.0], hits / np.arange(1, len(hits) + 1)])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))
