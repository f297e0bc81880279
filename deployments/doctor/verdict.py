"""The verdicts that checks give, and how checks are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from attrs import frozen

from cvat_flows.tasks.model.errors import CvatFlowsError

Level = Literal["ok", "warning", "failure"]


@frozen(kw_only=True)
class Verdict:
    """The result of checking one thing."""

    level: Level
    what: str
    """The thing that was checked, for example `CVAT version`."""
    text: str
    advice: str = ""
    """What to do about a warning or a failure."""


Check = Callable[[], Iterable[Verdict]]


def ok(what: str, text: str) -> Verdict:
    return Verdict(level="ok", what=what, text=text)


def warning(what: str, text: str, advice: str) -> Verdict:
    return Verdict(level="warning", what=what, text=text, advice=advice)


def failure(what: str, text: str, advice: str) -> Verdict:
    return Verdict(level="failure", what=what, text=text, advice=advice)


def run_checks(checks: Iterable[tuple[str, Check]]) -> Iterator[Verdict]:
    """Run named checks in order. A check that raises gives a failure; the others still run."""
    for name, check in checks:
        try:
            yield from check()
        except CvatFlowsError as error:
            yield failure(name, str(error), "")
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            yield failure(
                name, f"the check broke off ({text[:300]})", "see the log of the server it names"
            )
