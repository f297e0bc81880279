"""What became of one frame, as a row of the per-frame table."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from math import nan
from typing import Literal

from attrs import field, frozen

from cvat_flows.tasks.model.frames import Outcome, Step

State = Literal["annotated", "failed", "skipped"]

LONGEST_ERROR = 500
"""Characters of an error that a row keeps."""


@frozen(kw_only=True)
class FrameRow:
    """One frame in the per-frame table."""

    frame: int
    name: str
    job: int
    """Id of the first annotation job that contains the frame; 0 if none does."""
    outcome: State
    step: Step | None = None
    """Step that failed."""
    error: str = ""
    error_type: str = ""
    skipped: str = ""
    """Why the frame was not annotated."""
    labels: tuple[str, ...] = ()
    """For each annotation that the function found and the options let through, its label."""
    scores: array[float] = field(factory=lambda: array("d"), eq=False)
    """Beside `labels`; NaN where the function gave no score."""
    seconds: float = 0.0
    """Wall time of detecting, the frame's share of its batch."""
    cached: bool = False
    created: int = 0
    """Annotations that were put into CVAT (in a dry run: would be)."""
    kept: int = 0
    """Annotations of ours that were there already."""
    deleted: int = 0

    @property
    def shapes(self) -> int:
        """Number of annotations, shapes and tags."""
        return len(self.labels)


def row_of(outcome: Outcome, label_names: Mapping[int, str]) -> FrameRow:
    """Sum an outcome up. `label_names` are the task's, by id."""
    state: State = "failed" if outcome.failure else "skipped" if outcome.skipped else "annotated"
    annotations = outcome.annotations or ()
    return FrameRow(
        frame=outcome.frame.number,
        name=outcome.frame.name,
        job=outcome.frame.job_ids[0] if outcome.frame.job_ids else 0,
        outcome=state,
        step=outcome.failure.step if outcome.failure else None,
        error=outcome.failure.error[:LONGEST_ERROR] if outcome.failure else "",
        error_type=outcome.failure.error_type if outcome.failure else "",
        skipped=outcome.skipped or "",
        # The names are shared with `label_names`: eight bytes an annotation.
        labels=tuple(label_names[annotation.label_id] for annotation in annotations),
        scores=array("d", (nan if a.score is None else a.score for a in annotations)),
        seconds=outcome.seconds,
        cached=outcome.cached,
    )
