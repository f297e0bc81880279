"""Functions that fail in ways that could end or confuse a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import PIL.Image
from attrs import evolve

from cvat_flows.tasks.detect.runner import FunctionRunner
from cvat_flows.tasks.fetch.images import LoadedFrame, Picture
from cvat_flows.tasks.model.frames import Outcome


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class _Ends(BaseException):
    pass


ERRORS: tuple[BaseException, ...] = (
    SystemExit(0),
    _Ends("not an Exception"),
    GeneratorExit(),
    _Unprintable(),
    ValueError("a lone surrogate \ud800, a right-to-left mark \u202e and \x1b[31m"),
)


class _Bad:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def detect(self, context: Any, image: Any) -> Any:
        raise self.error


def fail_in_functions(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Let a function fail on each frame with a failure, and return what became of it."""
    return [_call(outcome) if outcome.failure else outcome for outcome in outcomes]


def _call(outcome: Outcome) -> Outcome:
    error = ERRORS[outcome.frame.number % len(ERRORS)]
    image = PIL.Image.new("RGB", (outcome.frame.width, outcome.frame.height))
    picture = Picture(image=image, content_hash="", decode=lambda: image)
    loaded = LoadedFrame(outcome=evolve(outcome, failure=None), picture=picture)
    (failed,) = FunctionRunner(_Bad(error)).run([loaded])
    assert failed.failure, f"{error!r} did not fail {outcome.frame}"
    return failed
