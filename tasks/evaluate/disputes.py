"""Count what only one of two functions detects."""

from __future__ import annotations

import numpy as np

from cvat_flows.tasks.evaluate.compare.likeness import ImageSizes
from cvat_flows.tasks.evaluate.compare.objects import Ints, Objects
from cvat_flows.tasks.evaluate.compare.pairing import NONE
from cvat_flows.tasks.evaluate.evaluation import compare


def count_disputes(one: Objects, other: Objects, frames: Ints, sizes: ImageSizes) -> Ints:
    """Return for each frame how many objects only one of two functions detects.

    An object that both detect with different labels counts once.
    """
    comparison = compare(one, other, frames=frames.tolist(), sizes=sizes)
    right, renamed = comparison.pairing, comparison.others
    only_one = right.true_of == NONE
    only_other = (right.found_of == NONE) & (renamed.found_of == NONE)
    numbers = np.concatenate([one.frame[only_one], other.frame[only_other]])
    counts: Ints = np.bincount(np.searchsorted(frames, numbers), minlength=len(frames))
    return counts
