"""Is a version of a function better than another one, by what was kept of their evaluations?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from attrs import frozen

from cvat_flows.tasks.evaluate.compare.objects import Floats
from cvat_flows.tasks.evaluate.counts import Counts, add_counts
from cvat_flows.tasks.evaluate.differences import Difference
from cvat_flows.tasks.evaluate.intervals import MIN_FRAMES, draw_frames, interval_of, ratios_of
from cvat_flows.tasks.evaluate.quality.measurement import Measurement
from cvat_flows.tasks.model.text import counted


@frozen(kw_only=True)
class Improvement:
    """The difference of the F1 of two versions."""

    f1: Difference
    frames: int
    """Number of frames on which both were evaluated with the same truth."""

    @property
    def is_better(self) -> bool:
        """Whether the new version is better with 95 % certainty."""
        return self.f1.verdict == "better"

    def __str__(self) -> str:
        frames = counted(self.frames, "frame")
        if self.frames < MIN_FRAMES:
            return (
                f"both versions were evaluated with the same truth on {frames}, and {MIN_FRAMES} "
                "are needed"
            )
        if self.f1.value is None or self.f1.interval is None:
            return f"the difference of F1 is undefined on {frames}"
        low, high = self.f1.interval
        verdict = {"better": "is better", "worse": "is worse"}.get(
            self.f1.verdict, "is not certainly better"
        )
        return (
            f"the new version {verdict}: F1 {self.f1.value:+.3f} ({low:+.3f} to {high:+.3f}) on "
            f"{frames}"
        )


def improvement(old: Sequence[Measurement], new: Sequence[Measurement]) -> Improvement:
    """Compare two versions on the frames on which both were evaluated with the same truth.

    Says the same as `differences` of two evaluations of these frames.

    Args:
        old: The evaluations of a version, at most one of each task.
        new: The same for the other one.
    """
    pairs = list(_pairs(old, new))
    if len(pairs) < MIN_FRAMES:
        return Improvement(f1=Difference(one=None, other=None), frames=len(pairs))
    before, after = ([pair[n] for pair in pairs] for n in (0, 1))
    drawn = [
        later - earlier for earlier, later in zip(_samples(before), _samples(after), strict=True)
    ]
    return Improvement(
        f1=Difference(
            one=add_counts(before).f1,
            other=add_counts(after).f1,
            interval=interval_of(np.concatenate(drawn)),
        ),
        frames=len(pairs),
    )


def _pairs(
    old: Sequence[Measurement], new: Sequence[Measurement]
) -> Iterator[tuple[Counts, Counts]]:
    by_task = {one.task: one for one in old}
    for after in new:
        before = by_task.get(after.task)
        known = {one.frame: one for one in before.frames} if before else {}
        for frame in after.frames:
            same = known.get(frame.frame)
            if same is not None and same.truth == frame.truth:
                yield same.counts, frame.counts


def _samples(counts: Sequence[Counts]) -> Iterator[Floats]:
    columns = [
        np.array([getattr(one, name) for one in counts], np.float64)
        for name in ("right", "extra", "missed")
    ]
    for weights in draw_frames(len(counts)):
        yield ratios_of(*(weights @ column for column in columns))["f1"]
