"""Suggest the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LOOK_UPS = 100
"""Names for which one list is searched. Each search of 2,000 names takes about a millisecond, and
a list of more than a hundred mismatches is not read for its hints."""


class NearestName:
    """Finds, in a fixed set of names, the one that is nearest to another.

    Names that differ only in case, spaces, dashes and underscores are always found, and so are
    those with letters swapped. For others
    the few names that share most pairs of letters are compared with `difflib`, so that a label
    set of thousands does not make an error slow.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._by_letters: dict[str, str] = {}
        self._pairs: list[frozenset[str]] | None = None
        self._left = LOOK_UPS

    def to(self, name: str) -> str | None:
        """The nearest name, or None if none is near."""
        if not self._by_letters:
            for known in reversed(self._names):
                letters = _letters(known)
                self._by_letters["".join(sorted(letters))] = known
            self._by_letters |= {_letters(known): known for known in reversed(self._names)}
        letters = _letters(name)
        same = self._by_letters.get(letters) or self._by_letters.get("".join(sorted(letters)))
        if same is not None or self._left <= 0:
            return same
        self._left -= 1
        if self._pairs is None:
            self._pairs = [_pairs(known) for known in self._names]
        wanted = _pairs(name)
        overlaps = sorted(
            ((len(wanted & pairs), index) for index, pairs in enumerate(self._pairs)),
            key=lambda overlap: (-overlap[0], overlap[1]),
        )
        likely = [self._names[index] for shared, index in overlaps[:5] if shared]
        return next(iter(get_close_matches(name, likely, n=1)), None)


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold())) or name


def _pairs(name: str) -> frozenset[str]:
    name = f" {name.casefold()} "
    return frozenset(name[i : i + 2] for i in range(len(name) - 1))
