"""COCO's object keypoint similarity (OKS), for skeletons with any keypoints."""

from __future__ import annotations

import numpy as np

from cvat_flows.tasks.evaluate.compare.geometry import keypoints_of
from cvat_flows.tasks.model.annotations import Annotation

SIGMA = 0.05
"""How far from its place a keypoint may be, as a share of the skeleton's size. COCO has a value for
each keypoint of a person, from 0.025 (eyes) to 0.107 (hips); other skeletons have none."""


def pose_likeness(found: Annotation, true: Annotation) -> float:
    """Return the mean over the true keypoints of a bell curve of their distance in the detection.

    A keypoint that the detection lacks counts 0. The size of the skeleton is that of the box around
    the true keypoints. Without true keypoints the likeness is 0.
    """
    there = {int(label): (x, y) for x, y, label in keypoints_of(found)}
    wanted = keypoints_of(true)
    if not len(wanted):
        return 0.0
    sides = np.ptp(wanted[:, :2], axis=0)
    area = max(float(sides[0] * sides[1]), 1.0)
    total = 0.0
    for x, y, label in wanted:
        place = there.get(int(label))
        if place is not None:
            squared = (place[0] - x) ** 2 + (place[1] - y) ** 2
            total += float(np.exp(-squared / (2 * (2 * SIGMA) ** 2 * area)))
    return total / len(wanted)
