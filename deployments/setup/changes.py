"""A change that setting up would make: shown first, then made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from attrs import field, frozen

from cvat_flows.tasks.model.errors import CvatFlowsError

Verb = Literal["create", "update", "remove", "ok", "note"]


class SetupError(CvatFlowsError):
    """The server cannot be set up as asked."""


@frozen(kw_only=True)
class Change:
    """One thing on the server, and what has to happen to it."""

    verb: Verb
    what: str
    """For example: work pool 'cvat'."""
    detail: str = ""
    apply: Callable[[], Any] | None = field(default=None, repr=False, eq=False)
    """None: nothing to do."""

    def __str__(self) -> str:
        return f"{self.verb:6} {self.what}" + (f": {self.detail}" if self.detail else "")


def pending(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if change.apply]


def differences(old: Any, new: Any, *, at: str = "") -> list[str]:
    """What `new` states otherwise than `old`, as `path: old -> new`.

    Keys that `new` does not state are no difference: somebody else set them, and they stay.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key, value in new.items():
            path = f"{at}.{key}" if at else str(key)
            found += differences(old.get(key), value, at=path)
        return found
    if old == new or (old in _EMPTY and new in _EMPTY):
        return []
    return [f"{at}: {_short(old)} -> {_short(new)}"]


def merged(old: Any, new: Any) -> Any:
    """`new` over `old`: mappings are merged, everything else is replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
    return new


_EMPTY: tuple[Any, ...] = (None, [], {})


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
