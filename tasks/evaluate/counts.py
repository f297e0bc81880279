"""Numbers of right, extra and missed objects, and the figures that follow from them.

A figure that is undefined is None: precision without detections, recall without true objects.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen(kw_only=True)
class Counts:
    """Detections and true objects.

    >>> counts = Counts(right=8, extra=2, missed=0)
    >>> counts.precision, counts.recall
    (0.8, 1.0)
    >>> Counts(right=0, extra=0, missed=3).precision is None
    True
    """

    right: int = 0
    """Detections that found a true object of their label."""
    extra: int = 0
    """Detections that found none."""
    missed: int = 0
    """True objects that no detection found."""

    @property
    def true(self) -> int:
        """True objects."""
        return self.right + self.missed

    @property
    def detected(self) -> int:
        """Detections above the threshold."""
        return self.right + self.extra

    @property
    def precision(self) -> float | None:
        """The share of the detections that are right."""
        return _share(self.right, self.detected)

    @property
    def recall(self) -> float | None:
        """The share of the true objects that were found."""
        return _share(self.right, self.true)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall."""
        return _share(2 * self.right, 2 * self.right + self.extra + self.missed)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def add_counts(counts: Iterable[Counts]) -> Counts:
    """Return the sum of some counts.

    >>> add_counts([Counts(right=1), Counts(right=2, extra=1)])
    Counts(right=3, extra=1, missed=0)
    """
    known = list(counts)
    return Counts(
        right=sum(one.right for one in known),
        extra=sum(one.extra for one in known),
        missed=sum(one.missed for one in known),
    )
