"""Suggest the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MAX_SEARCHES = 100
"""Searches per set of names. A search in 2,000 names takes about a millisecond, and nobody reads
the hints of more than a hundred mismatches."""


class NearestName:
    """Finds, in a fixed set of names, the one that is most similar to a given name.

    It always finds a name that differs only in case, spaces, dashes and underscores, or in the
    order of its letters. Otherwise it compares the few names that share the most pairs of letters
    with `difflib`, so that errors stay fast with thousands of labels.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._by_letters: dict[str, str] = {}
        self._pairs: list[frozenset[str]] | None = None
        self._searches_left = MAX_SEARCHES

    def find(self, name: str) -> str | None:
        """Return the most similar name, or None if none is similar."""
        if not self._by_letters:
            for known in reversed(self._names):
                letters = _letters(known)
                self._by_letters["".join(sorted(letters))] = known
            self._by_letters |= {_letters(known): known for known in reversed(self._names)}
        letters = _letters(name)
        same = self._by_letters.get(letters) or self._by_letters.get("".join(sorted(letters)))
        if same is not None or self._searches_left <= 0:
            return same
        self._searches_left -= 1
        if self._pairs is None:
            self._pairs = [_letter_pairs(known) for known in self._names]
        wanted = _letter_pairs(name)
        overlaps = sorted(
            ((len(wanted & pairs), index) for index, pairs in enumerate(self._pairs)),
            key=lambda overlap: (-overlap[0], overlap[1]),
        )
        likely = [self._names[index] for shared, index in overlaps[:5] if shared]
        return next(iter(get_close_matches(name, likely, n=1)), None)


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold())) or name


def _letter_pairs(name: str) -> frozenset[str]:
    name = f" {name.casefold()} "
    return frozenset(name[i : i + 2] for i in range(len(name) - 1))
