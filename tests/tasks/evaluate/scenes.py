"""Objects for tests: drawn at random, and detections of them with planted mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np

from cvat_flows.tasks.evaluate.compare.objects import Objects, objects_of
from cvat_flows.tasks.model.annotations import Annotation

SIZE = (640, 480)


def rectangle(frame: int, label: int, points: Any, score: float | None = None) -> Annotation:
    return Annotation(
        type="rectangle",
        label_id=label,
        frame=frame,
        points=tuple(map(float, points)),
        score=score,
    )


def polygon(frame: int, label: int, points: Any, score: float | None = None) -> Annotation:
    return Annotation(
        type="polygon",
        label_id=label,
        frame=frame,
        points=tuple(map(float, points)),
        score=score,
    )


def random_boxes(count: int, frames: int, seed: int) -> tuple[Objects, Objects]:
    """Return detections and true boxes: moved, missing, extra and wrongly named ones."""
    rng = np.random.default_rng(seed)
    frame, label = np.sort(rng.integers(0, frames, count)), rng.integers(1, 5, count)
    corner = rng.uniform(0, 300, (count, 2))
    boxes = np.hstack([corner, corner + rng.uniform(8, 160, (count, 2))])
    moved = boxes + rng.normal(0, 5, boxes.shape)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    named = np.where(rng.uniform(size=count) < 0.1, label % 4 + 1, label)
    # Two decimals: many detections have the same score.
    scores = rng.uniform(0, 1, count).round(2)
    found = [
        rectangle(int(f), int(n), b, s)
        for f, n, b, s in zip(frame, named, moved, scores.tolist(), strict=True)
        if rng.uniform() > 0.1
    ]
    found += [rectangle(int(f), 1, b + 200, 0.4) for f, b in zip(frame[::9], boxes, strict=False)]
    found.sort(key=lambda one: one.frame)
    true = [rectangle(int(f), int(n), b) for f, n, b in zip(frame, label, boxes, strict=True)]
    return objects_of(found), objects_of(true)
