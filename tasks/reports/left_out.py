"""What a run left out: frames that it skipped and annotations that it did not upload.

Each row has the reason and what to do about it, so that nothing is left out silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from cvat_flows.tasks.check.remap import BELOW_THRESHOLD, UNMATCHED
from cvat_flows.tasks.check.validate import DROPPED
from cvat_flows.tasks.fetch.plan import (
    ANNOTATED,
    DELETED,
    DONE,
    HONEYPOT,
    NO_JOB,
    POOL,
    SET_ASIDE,
)
from cvat_flows.tasks.model.text import counted
from cvat_flows.tasks.record.failures import MAX_EQUAL_FAILURES, TRY_AGAIN

MAX_IDS = 20
"""Ids of jobs that are shown."""
WITHHELD = "withheld"
REMOVED = "removed in CVAT"

_FRAMES: Mapping[str, str] = {
    DONE: "an earlier run of this function has annotated them; --fresh detects again",
    ANNOTATED: "they have a tag, a shape or a track; leave out --only-unannotated (in a rule: "
    "only_unannotated: false)",
    SET_ASIDE: f"failed {MAX_EQUAL_FAILURES} times in the same way; {TRY_AGAIN}",
    DELETED: "restore them in CVAT",
    POOL: "people annotate them; --include-ground-truth",
    HONEYPOT: "they are copies of ground-truth frames; --include-ground-truth",
    NO_JOB: "CVAT stores annotations in jobs",
}
"""By reason to skip frames: why, and what changes it."""

_ANNOTATIONS: Mapping[str, str] = {
    WITHHELD: "people changed or deleted them; --existing clear uploads them and deletes all "
    "others on their frames",
    REMOVED: "an earlier run uploaded them and they are gone; --existing clear uploads them again",
    UNMATCHED: "the task has no label for them; --label-mapping",
    DROPPED: "they leave the image, are inverted or have no area; --geometry",
    BELOW_THRESHOLD: "their score is too low; --label-thresholds",
}
"""By reason to leave out annotations: why, and what changes it."""


@frozen(kw_only=True)
class LeftOut:
    """A number of frames or annotations that were left out for one reason."""

    what: str
    """`12 annotations withheld`."""
    remedy: str
    """Why, and which option changes it."""


def left_out(
    frames: Mapping[str, int],
    annotations: Mapping[str, int],
    *,
    not_selected: int = 0,
    replica_jobs: Sequence[int] = (),
) -> list[LeftOut]:
    """Return a row for each reason.

    Args:
        frames: Number of skipped frames by reason.
        annotations: Number of annotations by reason. Other keys are ignored.
        not_selected: Number of the task's frames that the options do not select.
        replica_jobs: Ids of the consensus replicas that are not annotated.
    """
    rows = [
        LeftOut(what=f"{counted(count, 'frame')} {reason}", remedy=_FRAMES.get(reason, ""))
        for reason, count in frames.items()
        if count
    ]
    if not_selected:
        what = f"{counted(not_selected, 'frame')} not selected"
        rows.append(LeftOut(what=what, remedy="--frames and --jobs select frames"))
    if replica_jobs:
        ids = " ".join(map(str, replica_jobs[:MAX_IDS]))
        more = f" and {len(replica_jobs) - MAX_IDS:,} more" if len(replica_jobs) > MAX_IDS else ""
        what = counted(len(replica_jobs), "consensus replica")
        remedy = f"people annotate these jobs on their own; --jobs selects them ({ids}{more})"
        rows.append(LeftOut(what=what, remedy=remedy))
    rows += [
        LeftOut(what=f"{counted(annotations[reason], 'annotation')} {reason}", remedy=remedy)
        for reason, remedy in _ANNOTATIONS.items()
        if annotations.get(reason)
    ]
    return rows


def describe(annotations: Mapping[str, int]) -> str:
    """Return numbers of annotations by reason in few words: `3 withheld, 1 below threshold`."""
    return ", ".join(f"{annotations[r]:,} {r}" for r in _ANNOTATIONS if annotations.get(r))
