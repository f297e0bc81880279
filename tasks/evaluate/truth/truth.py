"""What people say is on the frames of a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attrs import field, frozen

from cvat_flows.tasks.evaluate.compare.objects import COMPARED_TYPES
from cvat_flows.tasks.model.annotations import Annotation


@frozen(kw_only=True)
class TrueObject:
    """An annotation that counts as true."""

    annotation: Annotation
    id: int = 0
    """Id in CVAT; 0 if it comes from a file."""


@frozen(kw_only=True, eq=False)
class Truth:
    """What people say is on some frames.

    Attributes:
        source: Where it comes from, for people.
        frames: Frames that people looked at. Without an object, such a frame is empty.
        objects: What is there.
        notes: What was left out, and why, a sentence each.
    """

    source: str
    frames: frozenset[int]
    objects: Sequence[TrueObject] = field(repr=False)
    notes: tuple[str, ...] = ()


def without_uncompared(objects: Sequence[TrueObject]) -> tuple[list[TrueObject], Counter[str]]:
    """Return the objects that can be compared, and the types of the others."""
    left_out: Counter[str] = Counter()
    kept = []
    for one in objects:
        if one.annotation.type in COMPARED_TYPES:
            kept.append(one)
        else:
            left_out[one.annotation.type] += 1
    return kept, left_out
