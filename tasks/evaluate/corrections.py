"""Which frames and jobs need most corrections, if the truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen

from cvat_flows.tasks.evaluate.compare.objects import Bools, Ints, Objects
from cvat_flows.tasks.evaluate.compare.pairing import NONE
from cvat_flows.tasks.evaluate.evaluation import Comparison
from cvat_flows.tasks.model.text import counted

LOOSE = 0.75
"""A right detection that is less like its true object must be moved."""


@frozen(kw_only=True)
class RankedFrame:
    """A frame with the corrections that it needs, or may need."""

    frame: int
    corrections: float
    """How many objects a person must draw, delete, name or move."""
    reasons: tuple[str, ...]


@frozen(kw_only=True)
class RankedJob:
    """A job with the corrections of its frames."""

    job_id: int
    frames: int
    corrections: float

    @property
    def mean(self) -> float:
        """Corrections for each frame."""
        return self.corrections / self.frames


def rank_by_truth(comparison: Comparison) -> list[RankedFrame]:
    """Return the frames that need corrections, those that need most first.

    Detections that found nothing must be deleted, true objects that were not found must be drawn,
    wrongly named ones get another label, and loosely fitting ones are moved.
    """
    found, true, used = comparison.found, comparison.true, comparison.used
    right, other = comparison.pairing, comparison.others
    renamed = other.true_of != NONE
    parts = {
        "missing": _count(
            comparison.frames, true, (right.found_of == NONE) & (other.found_of == NONE)
        ),
        "extra": _count(comparison.frames, found, used & (right.true_of == NONE) & ~renamed),
        "with another label": _count(comparison.frames, found, renamed),
        "moved": _count(
            comparison.frames, found, (right.true_of != NONE) & (right.likeness < LOOSE)
        ),
    }
    total = np.sum(list(parts.values()), axis=0)
    ranked = []
    for place in np.argsort(-total, kind="stable").tolist():
        if not total[place]:
            break
        reasons = [f"{count[place]} {what}" for what, count in parts.items() if count[place]]
        ranked.append(
            RankedFrame(
                frame=int(comparison.frames[place]),
                corrections=float(total[place]),
                reasons=tuple(reasons),
            )
        )
    return ranked


def rank_jobs(ranked: Sequence[RankedFrame], jobs_of: dict[int, int]) -> list[RankedJob]:
    """Return the jobs with most corrections for each frame first.

    Args:
        ranked: The frames.
        jobs_of: The job of each evaluated frame.
    """
    frames: dict[int, int] = {}
    for job in jobs_of.values():
        frames[job] = frames.get(job, 0) + 1
    corrections: dict[int, float] = {}
    for one in ranked:
        job = jobs_of[one.frame]
        corrections[job] = corrections.get(job, 0.0) + one.corrections
    jobs = [
        RankedJob(job_id=job, frames=frames[job], corrections=total)
        for job, total in corrections.items()
    ]
    return sorted(jobs, key=lambda job: (-job.mean, job.job_id))


def describe(ranked: RankedFrame) -> str:
    """Return the reasons in a sentence."""
    return ", ".join(ranked.reasons) or counted(0, "correction")


def _count(frames: Ints, objects: Objects, chosen: Bools) -> Ints:
    places = np.searchsorted(frames, objects.frame[chosen])
    counts: Ints = np.bincount(places, minlength=len(frames))
    return counts
