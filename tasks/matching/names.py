"""Compare names of labels as CVAT does, and say what differs between names that look the same.

CVAT strips names. It keeps composed and decomposed letters apart, but nobody can see the
difference, so a name matches its other form if no label has exactly that name.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

_SEPARATORS = re.compile(r"[\s_-]+")


def canonical(name: str) -> str:
    """Return the form in which names are compared: stripped, in composed letters (NFC)."""
    return unicodedata.normalize("NFC", name.strip())


class ByName:
    """Items (labels, sublabels or attributes) by name."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._exact = {item.name: item for item in items}
        forms = {name: canonical(name) for name in self._exact}
        count = Counter(forms.values())
        self._names = {form: name for name, form in forms.items()}
        self._only = {
            form: self._exact[name] for form, name in self._names.items() if count[form] == 1
        }

    def find(self, name: str) -> Any:
        """Return the item of this name, or the only one whose name looks the same, or None."""
        found = self._exact.get(name)
        return self._only.get(canonical(name)) if found is None else found

    def look_alike(self, name: str) -> str | None:
        """Return a known name that looks the same."""
        return self._names.get(canonical(name))


def describe_difference(name: str, other: str) -> str:
    """Return what differs between two names that look alike; empty if they do not."""
    a, b = canonical(name), canonical(other)
    for form, what in (
        (lambda text: text, "only the composition of their letters in Unicode differs"),
        (str.lower, "only upper and lower case differ"),
        (_compatible, "they look alike, but consist of different Unicode characters"),
        (_without_separators, "only spaces, hyphens or underscores differ"),
    ):
        if form(a) == form(b):
            return what
    return ""


def _compatible(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _without_separators(name: str) -> str:
    return _SEPARATORS.sub("", _compatible(name))
