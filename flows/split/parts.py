"""Divide the plan of a run into parts for several workers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from attrs import field, frozen

from cvat_flows.tasks.fetch.plan import Plan
from cvat_flows.tasks.model.errors import CvatFlowsError

MAX_FRAMES_LENGTH = 250_000
"""Maximum length of the option `frames`: Prefect accepts 512 KiB of parameters."""


class CannotSplit(CvatFlowsError):
    """The option `split` cannot be used here."""


@frozen(kw_only=True)
class Part:
    """The jobs and frames for one flow run."""

    jobs: tuple[int, ...]
    frames: tuple[int, ...] = field(repr=False)


def split_plan(plan: Plan, count: int) -> list[Part]:
    """Divide a plan into at most `count` parts of whole jobs with about equal numbers of frames."""
    jobs = [
        (job_id, [frame.number for batch in group for frame in batch.frames])
        for job_id, group in groupby(plan.batches, key=attrgetter("job_id"))
    ]
    total = sum(len(frames) for _, frames in jobs)
    groups: dict[int, list[tuple[int, list[int]]]] = {}
    before = 0
    for job_id, frames in jobs:
        # The middle of the job decides which part it belongs to.
        index = int((before + len(frames) / 2) * count / total)
        groups.setdefault(index, []).append((job_id, frames))
        before += len(frames)
    return [
        Part(
            jobs=tuple(dict.fromkeys(job_id for job_id, _ in group)),
            frames=tuple(number for _, frames in group for number in frames),
        )
        for group in groups.values()
    ]


def as_ranges(numbers: Sequence[int]) -> str:
    """Format frame numbers for the option `frames`: "0-20,30"."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


def frames_option(numbers: Sequence[int]) -> str:
    """Format frame numbers for a helper's parameters.

    If the text is too long, return one range from the first to the last frame. The helper then also
    detects on frames that nobody needs.
    """
    text = as_ranges(numbers)
    return text if len(text) <= MAX_FRAMES_LENGTH else f"{min(numbers)}-{max(numbers)}"
