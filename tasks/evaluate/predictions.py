"""What a function detected on some frames, without a threshold for the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from attrs import field, frozen

from cvat_flows.tasks.evaluate.compare.objects import (
    COMPARED_TYPES,
    Bools,
    Floats,
    Objects,
    objects_of,
)
from cvat_flows.tasks.matching.mapping import WILDCARD
from cvat_flows.tasks.matching.names import canonical
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.annotations import Annotation
from cvat_flows.tasks.model.frames import Outcome


@frozen(kw_only=True, eq=False)
class Predictions:
    """Detections in the labels of the CVAT task.

    Attributes:
        objects: The detections.
        names: For each of them, the name of its label in the function.
        frames: Frames on which the function worked.
        failed: Why it failed on the others, by frame number.
        cached: Number of frames whose detections come from the cache.
        not_compared: Number of detections of types that cannot be compared, by type.
    """

    objects: Objects
    names: Sequence[str] = field(repr=False)
    frames: frozenset[int]
    failed: Mapping[int, str] = field(factory=dict)
    cached: int = 0
    not_compared: Mapping[str, int] = field(factory=dict)

    def above(self, thresholds: Mapping[str, float] | None) -> Bools:
        """Return which detections reach the threshold of their label; see `limits`."""
        above: Bools = self.objects.score >= self.limits(thresholds)
        return above

    def limits(self, thresholds: Mapping[str, float] | None, default: float = 0.0) -> Floats:
        """Return the threshold of each detection.

        `thresholds` are by the function's label; "*" is for the other labels.
        """
        by_name = {canonical(name): value for name, value in (thresholds or {}).items()}
        default = by_name.get(WILDCARD, default)
        limits = {name: by_name.get(canonical(name), default) for name in set(self.names)}
        return np.array([limits[name] for name in self.names], np.float64)


class PredictionCollector:
    """Collects the outcomes of a run, in any order. Outcomes must be remapped without thresholds.

    Args:
        match: What the labels of the function mean in the task.
    """

    def __init__(self, match: SpecMatch) -> None:
        self._match = match
        self._found: list[tuple[Annotation, str]] = []
        self._frames: set[int] = set()
        self._failed: dict[int, str] = {}
        self._cached = 0
        self._not_compared: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Add what was detected on a frame."""
        number = outcome.frame.number
        if outcome.failure is not None:
            self._failed[number] = outcome.failure.error
            return
        self._failed.pop(number, None)
        self._frames.add(number)
        self._cached += outcome.cached
        labels = [self._match.labels[one.label_id] for one in outcome.detections or ()]
        names = [label.name for label in labels if label is not None]
        for annotation, name in zip(outcome.annotations or (), names, strict=True):
            if annotation.type in COMPARED_TYPES:
                self._found.append((annotation, name))
            else:
                self._not_compared[annotation.type] += 1

    def predictions(self) -> Predictions:
        """Return everything that was added."""
        self._found.sort(key=lambda one: one[0].frame)
        return Predictions(
            objects=objects_of([annotation for annotation, _ in self._found]),
            names=[name for _, name in self._found],
            frames=frozenset(self._frames),
            failed=dict(sorted(self._failed.items())),
            cached=self._cached,
            not_compared=dict(self._not_compared),
        )
