"""Cut the outcomes of a job into parts that are uploaded one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cvat_flows.tasks.model.frames import Outcome
from cvat_flows.tasks.record.manifest import FRAMES_PER_FILE

_MAX_ENCODED_ANNOTATIONS = 20_000
"""Annotations in memory at a time."""


def windows_of(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    """Cut the outcomes where a manifest file ends, and where they would need too much memory."""
    window: list[Outcome] = []
    annotations = 0
    for outcome in outcomes:
        if outcome.skipped:
            continue
        if window and (
            outcome.frame.number // FRAMES_PER_FILE != window[0].frame.number // FRAMES_PER_FILE
            or annotations >= _MAX_ENCODED_ANNOTATIONS
        ):
            yield window
            window, annotations = [], 0
        window.append(outcome)
        annotations += len(outcome.annotations or ())
    if window:
        yield window
