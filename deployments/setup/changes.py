"""A planned change: first shown, then made. Also comparing and merging nested values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from attrs import field, frozen

from cvat_flows.tasks.model.errors import CvatFlowsError

Verb = Literal["create", "update", "ok", "note"]


class SetupError(CvatFlowsError):
    """The server cannot be set up as requested."""


@frozen(kw_only=True)
class Change:
    """One object on the server and the change that it needs."""

    verb: Verb
    what: str
    """For example: work pool 'cvat'."""
    detail: str = ""
    apply: Callable[[], Any] | None = field(default=None, repr=False, eq=False)
    """Makes the change. None if no change is needed."""

    def __str__(self) -> str:
        return f"{self.verb:6} {self.what}" + (f": {self.detail}" if self.detail else "")


def pending(changes: Iterable[Change]) -> list[Change]:
    """Return the changes that still have to be made."""
    return [change for change in changes if change.apply]


def list_differences(old: Any, new: Any, *, path: str = "") -> list[str]:
    """List where `new` differs from `old`, as `path: old -> new`.

    Keys that only `old` has are ignored: somebody else set them, and they stay.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key, value in new.items():
            inner = f"{path}.{key}" if path else str(key)
            found += list_differences(old.get(key), value, path=inner)
        return found
    if old == new or (old in _EMPTY and new in _EMPTY):
        return []
    return [f"{path}: {_shorten(old)} -> {_shorten(new)}"]


def merge(old: Any, new: Any) -> Any:
    """Put `new` over `old`: nested mappings are merged, other values replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merge(old.get(key), value) for key, value in new.items()}}
    return new


_EMPTY: tuple[Any, ...] = (None, [], {})


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
