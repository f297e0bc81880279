"""Count fates: how much of what was uploaded people kept, by label and by week."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar, get_args

from attrs import define, field

from cvat_flows.tasks.evaluate.acceptance.fates import What
from cvat_flows.tasks.evaluate.acceptance.review import ReviewRow

Key = TypeVar("Key")
_RIGHT = ("kept", "moved", "attributes", "unclear")
WHATS: tuple[What, ...] = get_args(What)


@define(kw_only=True)
class Tally:
    """Numbers of annotations by what became of them.

    >>> counts = Counter(kept=7, moved=1, relabelled=1, deleted=1, added=2)
    >>> tally = Tally(counts=counts, arrived=1)
    >>> tally.precision, round(tally.recall, 3)
    (0.8, 0.727)
    """

    counts: Counter[str] = field(factory=Counter)
    likeness: float = 0.0
    """Sum over the moved annotations of how much they are like the uploaded ones."""
    arrived: int = 0
    """Annotations that have this label only because a person relabelled them."""

    def add(self, fate: ReviewRow) -> None:
        """Count one more annotation."""
        self.counts[fate.what] += 1
        self.likeness += fate.likeness or 0.0

    @property
    def uploaded(self) -> int:
        """Annotations that were uploaded."""
        return sum(count for what, count in self.counts.items() if what != "added")

    @property
    def right(self) -> int:
        """Annotations that people left with their label, if not always in their place."""
        return sum(self.counts[what] for what in _RIGHT)

    @property
    def precision(self) -> float | None:
        """The share of the uploaded annotations that are right; None without any."""
        return self.right / self.uploaded if self.uploaded else None

    @property
    def recall(self) -> float | None:
        """The share of what is in CVAT now that was uploaded with the right label."""
        there = self.right + self.arrived + self.counts["added"]
        return self.right / there if there else None

    @property
    def mean_moved(self) -> float | None:
        """How much moved annotations are like the uploaded ones, in the mean."""
        moved = self.counts["moved"]
        return self.likeness / moved if moved else None


def tally(
    fates: Iterable[ReviewRow],
    key: Callable[[ReviewRow], Key],
    *,
    arrives: Callable[[ReviewRow], Key] | None = None,
) -> Mapping[Key, Tally]:
    """Count the fates of each group.

    Args:
        fates: A row for each annotation.
        key: The group of a row.
        arrives: The group in which a relabelled annotation is now. By default it is the same.
    """
    groups: dict[Key, Tally] = {}
    for fate in fates:
        groups.setdefault(key(fate), Tally()).add(fate)
        if fate.what == "relabelled":
            groups.setdefault((arrives or key)(fate), Tally()).arrived += 1
    return groups


def week_of(when: str) -> str:
    """Return the Monday of the week of a date.

    >>> week_of("2026-11-26T10:00:00+00:00")
    '2026-11-23'
    """
    date = datetime.fromisoformat(when)
    return f"{date - timedelta(days=date.weekday()):%Y-%m-%d}"
