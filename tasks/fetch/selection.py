"""Read which frames and jobs of a task the user selected."""

from __future__ import annotations

import re
from collections.abc import Collection

from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.media import TaskMedia

_RANGE = re.compile(r"(?P<first>\d+)(?P<dash>\s*-\s*)?(?P<last>\d+)?", re.ASCII)


class FrameSelectionError(CvatFlowsError):
    """The selected frames or jobs do not exist, or the selection cannot be read."""


def parse_frames(text: str | None, *, size: int, subject: str = "the task") -> list[int]:
    """Read frame numbers and ranges such as "0-20,30,45-".

    Ranges include both ends. An open range goes to the last frame.

    Args:
        text: The selection; None for all frames.
        size: Number of frames in the task.
        subject: Names the task in errors.

    Returns:
        The numbers in ascending order, without duplicates.

    Raises:
        FrameSelectionError: The text cannot be read, or a number is not in 0..size-1.
    """
    if text is None:
        return list(range(size))
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or (match["last"] and not match["dash"]):
            raise FrameSelectionError(
                f"--frames {text!r}: cannot read {part.strip()!r}; write numbers and ranges "
                "separated by commas, such as 0-20,30,45-"
            )
        first = int(match["first"])
        if match["last"]:
            last = int(match["last"])
        else:
            last = max(first, size - 1) if match["dash"] else first
        if last < first:
            raise FrameSelectionError(
                f"--frames {text!r}: the range {part.strip()!r} is backward; write {last}-{first}"
            )
        if last >= size:
            raise FrameSelectionError(
                f"--frames {text!r}: {subject} has the frames 0 to {size - 1}, so there is no "
                f"frame {max(first, size) if match['last'] else first}"
            )
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def check_jobs(media: TaskMedia, jobs: Collection[int] | None) -> frozenset[int] | None:
    """Return the selected job ids; None for all jobs.

    Raises FrameSelectionError if one is not an annotation job of the task, or if there are none.
    """
    if jobs is None:
        return None
    known = [job.id for job in media.selectable_jobs]
    unknown = sorted(set(jobs) - set(known))
    if unknown or not jobs:
        are = "is" if len(unknown) == 1 else "are"
        problem = f"{list_ids(unknown)} {are} not among them" if unknown else "no job is selected"
        if media.ground_truth_job_id in unknown:
            problem = (
                f"job {media.ground_truth_job_id} is its ground-truth job, which people annotate"
            )
        raise FrameSelectionError(
            f"--jobs: task {media.task_id} has the annotation jobs {list_ids(known)}; {problem}"
        )
    return frozenset(jobs)


def list_ids(ids: Collection[int], max_count: int = 20) -> str:
    """Return the ids in order, separated by commas, and their number if not all are shown."""
    shown = ", ".join(str(i) for i in sorted(ids)[:max_count])
    return f"{shown}, … ({len(ids)} in total)" if len(ids) > max_count else shown
