"""What a check of an installation says, and how checks are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from attrs import frozen

from cvat_flows.tasks.model.errors import CvatFlowsError

Level = Literal["ok", "warning", "failure"]


@frozen(kw_only=True)
class Verdict:
    """One thing that was looked at."""

    level: Level
    what: str
    text: str
    advice: str = ""
    """What to do, if anything is to be done."""


Check = Callable[[], Iterable[Verdict]]


def ok(what: str, text: str) -> Verdict:
    return Verdict(level="ok", what=what, text=text)


def warning(what: str, text: str, advice: str) -> Verdict:
    return Verdict(level="warning", what=what, text=text, advice=advice)


def failure(what: str, text: str, advice: str) -> Verdict:
    return Verdict(level="failure", what=what, text=text, advice=advice)


def run_checks(checks: Iterable[tuple[str, Check]]) -> Iterator[Verdict]:
    """Run checks by name; one that breaks is a failure of its own and stops no other."""
    for name, check in checks:
        try:
            yield from check()
        except CvatFlowsError as error:
            yield failure(name, str(error), "")
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            yield failure(name, f"could not be checked ({text[:300]})", "look at the log")
