"""Compare the rectangles in CVAT with the shapes that were drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from cvat_sdk import Client

    from aa_functions.training.shape_images import TrueBox

MIN_IOU = 0.5
"""Smallest intersection over union of two boxes that match."""


@frozen(kw_only=True)
class Box:
    """A rectangle in CVAT."""

    label: str
    points: tuple[float, float, float, float]
    """xtl, ytl, xbr, ybr in pixels."""


@frozen(kw_only=True)
class Accuracy:
    """Counts of boxes, over all frames."""

    found: int
    drawn: int
    matched: int
    """Pairs with the same label and an IoU of at least `MIN_IOU`, one to one."""

    @property
    def recall(self) -> float:
        return self.matched / self.drawn

    @property
    def precision(self) -> float:
        return self.matched / max(self.found, 1)


def read_boxes(client: Client, task_id: int) -> list[list[Box]]:
    """Read the rectangles of a CVAT task, by frame."""
    task = client.tasks.retrieve(task_id)
    names = {label.id: label.name for label in task.get_labels()}
    frames: list[list[Box]] = [[] for _ in range(task.size)]
    for shape in task.get_annotations().shapes:
        frames[shape.frame].append(Box(label=names[shape.label_id], points=tuple(shape.points)))
    return frames


def measure_accuracy(found: list[list[Box]], drawn: list[tuple[TrueBox, ...]]) -> Accuracy:
    """Match the boxes of each frame with the drawn ones."""
    matched = sum(_count_matches(boxes, true) for boxes, true in zip(found, drawn, strict=True))
    return Accuracy(found=sum(map(len, found)), drawn=sum(map(len, drawn)), matched=matched)


def _count_matches(boxes: Iterable[Box], drawn: Iterable[TrueBox]) -> int:
    unmatched = list(drawn)
    count = 0
    for box in boxes:
        best = max(
            (true for true in unmatched if true.label == box.label),
            key=lambda true: _iou(box.points, _points(true)),
            default=None,
        )
        if best and _iou(box.points, _points(best)) >= MIN_IOU:
            unmatched.remove(best)
            count += 1
    return count


def _points(box: TrueBox) -> tuple[float, float, float, float]:
    return box.xtl, box.ytl, box.xbr, box.ybr


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return the intersection over union of two boxes (xtl, ytl, xbr, ybr)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((p[2] - p[0]) * (p[3] - p[1]) for p in (a, b))
    return width * height / (area_a + area_b - width * height)
