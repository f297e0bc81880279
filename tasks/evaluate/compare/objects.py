"""Objects on frames as columns, so that a hundred thousand are compared at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from cvat_flows.tasks.evaluate.compare.geometry import area_of, box_of
from cvat_flows.tasks.model.annotations import TAG, Annotation
from cvat_flows.tasks.model.labels import SKELETON

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BOX, ROTATED, REGION, POSE, MARK = range(5)
"""How an object is compared: as a box, as a rotated box, by its area, by its keypoints, or only by
its label (a tag)."""
_KINDS = {
    "polygon": REGION,
    "mask": REGION,
    "ellipse": REGION,
    SKELETON: POSE,
    TAG: MARK,
}
COMPARED_TYPES = frozenset({"rectangle", *_KINDS})
"""Types of annotations that can be compared. The others have no measure of likeness."""


@frozen(kw_only=True, eq=False)
class Objects:
    """Objects on the frames of a task, in the order of their frames.

    Attributes:
        frame: Frame numbers.
        label: Label ids of the CVAT task.
        score: Scores from 0 to 1. An object without a score is certain and has 1.
        box: Left, top, right and bottom in pixels; shape (n, 4).
        area: Pixels. Of a skeleton: its box.
        kind: BOX, ROTATED, REGION, POSE or MARK.
        shapes: The annotations.
        ids: Ids in CVAT; 0 for an object that is not there.
    """

    frame: Ints
    label: Ints
    score: Floats
    box: Floats
    area: Floats
    kind: Ints
    shapes: Sequence[Annotation] = field(repr=False)
    ids: Ints

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, chosen: Any) -> Objects:
        """Return the objects that a mask or an array of indices chooses, which must be sorted."""
        indices = np.flatnonzero(chosen) if np.asarray(chosen).dtype == bool else np.asarray(chosen)
        return Objects(
            frame=self.frame[indices],
            label=self.label[indices],
            score=self.score[indices],
            box=self.box[indices],
            area=self.area[indices],
            kind=self.kind[indices],
            shapes=[self.shapes[n] for n in indices.tolist()],
            ids=self.ids[indices],
        )


def objects_of(annotations: Sequence[Annotation], ids: Sequence[int] | None = None) -> Objects:
    """Make columns of annotations. Those of a type that cannot be compared must be left out.

    >>> car = Annotation(type="rectangle", label_id=3, frame=7, points=(10, 10, 30, 20))
    >>> objects_of([car]).area.tolist()
    [200.0]
    """
    frames = np.array([one.frame for one in annotations], np.int64)
    order = np.argsort(frames, kind="stable")
    shapes = [annotations[n] for n in order]
    boxes = np.array([box_of(one) for one in shapes], np.float64).reshape(-1, 4)
    kinds = [_kind(one) for one in shapes]
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    area = sides[:, 0] * sides[:, 1]
    for n, kind in enumerate(kinds):
        if kind in (ROTATED, REGION):
            area[n] = area_of(shapes[n])
    numbers = np.zeros(len(shapes), np.int64) if ids is None else np.array(ids, np.int64)[order]
    return Objects(
        frame=frames[order],
        label=np.array([one.label_id for one in shapes], np.int64),
        score=np.array([1.0 if one.score is None else one.score for one in shapes], np.float64),
        box=boxes,
        area=area,
        kind=np.array(kinds, np.int64),
        shapes=shapes,
        ids=numbers,
    )


def _kind(shape: Annotation) -> int:
    if shape.type == "rectangle":
        return ROTATED if shape.rotation % 360 else BOX
    return _KINDS[shape.type]
