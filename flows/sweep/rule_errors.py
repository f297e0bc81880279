"""Say what is wrong with a rule, in the words of the rules file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

_UNKNOWN_KEY = "extra_forbidden"


def describe_errors(
    row: Any, errors: Iterable[Any], *, keys: Collection[str], options: Collection[str]
) -> str:
    """Return the errors of a rule in one sentence, with the nearest name for an unknown key.

    Args:
        row: The rule as it is in the file.
        errors: What pydantic says about it.
        keys: The keys of a rule.
        options: The keys of its `options`.
    """
    if not isinstance(row, dict):
        return f"must be a mapping such as {{projects: [cars]}}, not {row!r}"
    return "; ".join(_describe(row, one, keys, options) for one in errors)


def nearest(name: str, known: Collection[str]) -> str:
    """Return ` (did you mean 'function'?)`, or nothing if no known name is near.

    >>> nearest("functon", ["function", "options"])
    " (did you mean 'function'?)"
    """
    found = get_close_matches(name, known, n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""


def _describe(
    row: dict[str, Any], error: Any, keys: Collection[str], options: Collection[str]
) -> str:
    place = [str(part) for part in error["loc"]]
    is_option = bool(place) and place[0] not in row and place[0] in (row.get("options") or {})
    if error["type"] == _UNKNOWN_KEY and len(place) == 1:
        name = place[0]
        if not is_option and name in options:
            return f"'{name}' belongs under options: {{{name}: {row[name]}}}"
        where, known = ("option", options) if is_option else ("key", keys)
        return f"unknown {where} '{name}'{nearest(name, known)}"
    text = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    if is_option:
        place = ["options", *place]
    given = error.get("input")
    shown = f" {given!r}" if isinstance(given, str | int | float) else ""
    name = ".".join(part for part in place if not part.isdecimal())
    return (
        f"{name}{shown} {text}"
        if name and text.startswith("should")
        else (f"{name}{shown}: {text}" if name else text)
    )
